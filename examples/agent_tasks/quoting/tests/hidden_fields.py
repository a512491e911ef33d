import unittest

from fields import join, split


class Hidden(unittest.TestCase):
    def test_quotes(self):
        self.assertEqual(split('a,"b,c","say ""hi"""'), ["a", "b,c", 'say "hi"'])
        self.assertEqual(split('"",x'), ["", "x"])

    def test_as_before(self):
        self.assertEqual(split("a,b,,c"), ["a", "b", "", "c"])
        self.assertEqual(split(""), [""])
        self.assertEqual(join(["a", "b"]), "a,b")
