import recbole_unlearn as ru, time
from recbole_unlearn.data import *
from recbole.utils import init_seed
t=time.time()
c = ru.Config(model="NeuMF", dataset="ml-100k", config_dict={"protocol":"paper"})
init_seed(c["seed"], True)
ds = create_dataset(c)
tr, va, te = data_preparation(c, ds)
print(len(tr._dataset), len(te._dataset), time.time()-t)
w = ru.WithdrawalRequest.random(5, 2020).resolve(ds.interactions())
print(len(w.users), w.forget.sum(), w.digest[:8])
v = ds.without(w); tr2, va2, te2 = data_preparation(c, v)
print(len(tr2._dataset), len(te2._dataset), type(v))
try: ru.Config(model="NeuMF", dataset="ml-100k", config_dict={"dampping":1})
except Exception as e: print(e)
try: ru.Config(model="NeuMFF", dataset="ml-100k")
except Exception as e: print(e)
ru.Config(model="NeuMF", dataset="ml-100k", config_dict={"wandb_project":"x", "transform": None})
print(c.method_options("SCIF"))
