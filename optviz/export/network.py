"""A training as a Python script."""


def network_script(training, flavour, link, names):
    raise ValueError
