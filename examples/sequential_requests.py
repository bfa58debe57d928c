"""Requests one after the other: each starts from the model and the data that the request before left."""

from recbole_unlearn import Config, WithdrawalRequest, train_model
from recbole_unlearn.data import create_dataset

if __name__ == "__main__":
    config = Config("NeuMF", "ml-100k")
    unlearner = train_model(config, create_dataset(config))
    requests = [
        WithdrawalRequest.users(["196", "22"]),
        WithdrawalRequest.items(["50"]),
        WithdrawalRequest.interactions([("186", "302")]),
    ]
    for request in requests:
        before = len(unlearner.dataset.interactions().users)
        unlearner.unlearn(request, method="SCIF", scope="all")
        left = len(unlearner.dataset.interactions().users)
        print(request.kind, "rows", before - left, "seconds", f"{unlearner.last_cost.seconds:.3f}", "left", left)
    receipts = unlearner.save("saved/unlearned.pth")  # one commit: the model, the ledger, a receipt for each request
    print("receipts", len(receipts))
