from accbo.conformance import parametrize

from optlib.accbo import Implementation


@parametrize(Implementation, fast=True, cases=2)
def test_accbo(check):
    check()
