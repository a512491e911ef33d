import unittest

from fields import join, split


class Fields(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(split("a,b,,c"), ["a", "b", "", "c"])
        self.assertEqual(split(""), [""])
        self.assertEqual(join(["a", "b"]), "a,b")
