"""Built-in methods on models that have no adapter of their own, by the suite that authors use for theirs."""

from recbole_unlearn.testing import MethodConformance

MODELS = ("ConvNCF", "NGCF", "SimpleX")


def suite(method, models=MODELS, refuses=(), unchanged=()):
    facts = {"method": method, "models": models, "refuses": refuses, "unchanged": unchanged}
    return type(f"TestGeneric{method.replace('-', '')}", (MethodConformance,), facts)


TestScif = suite("SCIF", (*MODELS, "CKE"))
TestSif = suite("SIF", ("ConvNCF",))
TestIf = suite("IF", ("NGCF", "CKE"))
TestReset = suite("ResetUE", unchanged=("interactions",))
TestRedraw = suite("RedrawItems", ("ConvNCF", "CKE"))
TestSvd = suite("RetrainSVD", ("NGCF", "SimpleX", "CKE"), refuses=("SimpleX", "CKE"))
TestFineTune = suite("FineTune", ("NGCF", "SimpleX", "CKE"))
TestItems = suite("SCIF-items", ("NGCF",), refuses=("NGCF",))
TestExact = suite("Exact", refuses=MODELS)
