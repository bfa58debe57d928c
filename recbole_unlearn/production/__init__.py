"""Jobs for operators (withdraw, audit, purge, verify), and readers for files of unknown origin."""
