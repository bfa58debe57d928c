"""The three principles: completeness (oracle), efficiency, utility; and the report that shows them together."""
