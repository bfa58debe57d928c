"""The leaderboard: lines from reports, means and intervals over seeds, one page for browsers."""
