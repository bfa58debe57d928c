"""Records of withdrawals on disk: ledger, key, commit, receipts and kept splits. No RecBole."""
