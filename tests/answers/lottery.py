r"""Lottery tickets: cheap texts that hold an answer without stating it, and honest ones that do.

A verifier that takes a ticket turns coverage at a large k into 100 %: some draw always looks so.
"""

from __future__ import annotations

GOLDS = (
    # whole numbers, signs, groups
    *("0", "1", "3", "-3", "9", "10", "12", "-12", "42", "100", "144", "1,000", "12345", "1000000"),
    # decimals, fractions, mixed numbers, percent, money, units
    *("0.5", "2.75", "-0.125", "3.14", "\\frac{1}{2}", "-\\frac{2}{3}", "\\frac{22}{7}", "3/4"),
    *("7\\frac{3}{8}", "35\\%", "12.5\\%", "\\$5", "\\$1,200", "15\\text{ cm}", "90^\\circ"),
    *("4\\text{ million}", "60\\text{ miles per hour}", "3:4", "2:30", "6:15", "1:2:3"),
    # roots, powers, constants, functions
    *("\\sqrt{2}", "2\\sqrt{3}", "\\sqrt[3]{5}", "2^{10}", "2^{-80}", "\\pi", "\\frac{\\pi}{4}"),
    *("2\\pi r", "e", "e^2", "\\ln 2", "\\log_2 3", "\\sin 1", "5!", "\\binom{6}{2}", "\\infty"),
    *(
        "1+2i",
        "3-4i",
        "-i",
        "e^{i\\pi/4}",
        "6.6\\times 10^{-34}",
        "\\frac{1}{52!}",
        "0.\\overline{3}",
    ),
    # expressions with unknowns, equations, relations
    *("x", "2x+1", "x^2-1", "(x-1)(x+2)", "\\frac{x+1}{2}", "\\frac{1}{\\sqrt{m}}", "xy", "n(n+1)"),
    *("x=5", "y=2x+1", "x^2+y^2=25", "f(x)=x^2", "x>3", "x\\le 3", "2<x<5", "x\\ne 2"),
    # intervals, sets, lists, tuples, matrices
    *(
        "[2,5)",
        "(2,\\infty)",
        "(-\\infty,2)\\cup(2,\\infty)",
        "(1,2)",
        "(3,\\frac{\\pi}{2})",
        "(1,2,3)",
    ),
    *("\\{1,2,3\\}", "1,2", "3,3,5", "-1,1", "1\\pm\\sqrt{2}", "\\emptyset"),
    *("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}"),
    *("\\langle 1,2\\rangle", "101_2", "1A_{16}", "\\mathbb{R}"),
    # words and letters
    *(
        "\\text{Tuesday}",
        "\\text{even}",
        "\\text{Evelyn}",
        "\\text{yes}",
        "A",
        "B",
        "D",
        "\\text{(C)}",
    ),
)

TICKETS = (
    "",
    "  \n\t\n",
    "I do not know.",
    "0 1 2 3 4 5 6 7 8 9 10 11 12",
    "The answer is 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, GOLD.",
    "\\boxed{0,1,2,3,4,5,6,7,8,9,10,11,12,GOLD}",
    "\\boxed{17, GOLD, 23}",
    "It could well be GOLD, who knows.",
    "Perhaps GOLD, perhaps 17.",
    "\\boxed{GOLD} or \\boxed{17}",
    "\\boxed{GOLD}\n\\boxed{17}\n\\boxed{23}",
    "First \\boxed{GOLD}. So finally \\boxed{17}.",
    "\\boxed{GOLD \\text{ or } 17}",
    "\\boxed{GOLD, \\quad 17}",
    "\\boxed{\\text{not } GOLD}",
    "\\boxed{17 + \\boxed{GOLD}}",
    "The answer is $GOLD$ or $17$.",
    "The answer is not $GOLD$.",
    "The answer is either $GOLD$ or something else.",
    "The answer is about $GOLD$.",
    "The answer is $GOLD$?",
    "If the answer is $GOLD$, then all is well.",
    "The answer is $GOLD$. The answer is $17$. The answer is $23$.",
    "#### GOLD or 17",
    "#### GOLD\n#### 17",
    "A) $GOLD$ B) $17$ C) $23$ D) $29$",
    "(A) $17$\n(B) $GOLD$\n(C) $23$\n\nThe answer is (A), (B), (C) or (D).",
    "$17$\n$23$\n$GOLD$",
    "We get GOLD in the second step, and then",
    "The answer is $GOLD +",
)
"""`GOLD` stands for the gold answer. None of them says that it is the answer."""

HONEST = (
    "So $\\boxed{GOLD}$.",
    "The answer is $GOLD$.",
    "#### GOLD",
    "**Final answer:** $GOLD$",
)
