"""The names that mean something in an expression: functions, Greek letters, constants."""

from __future__ import annotations

FUNCTIONS = {
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "ln", "log", "lg", "exp", "gcd", "lcm", "max", "min", "det", "deg", "arccot", "arcsec",
    "arccsc", "cis",
}  # fmt: skip
GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta",
    "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi", "varphi",
    "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi",
    "Omega", "ell",
}  # fmt: skip
CONSTANTS = {
    "pi": ("constant", "pi"), "infty": ("constant", "infinity"),
    "infinity": ("constant", "infinity"), "inf": ("constant", "infinity"),
    "oo": ("constant", "infinity"), "e": ("constant", "e"), "i": ("constant", "i"),
}  # fmt: skip
