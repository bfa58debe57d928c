"""RecBole models with a faster or graph-aware piece, and the adapters through which influence code sees them."""
