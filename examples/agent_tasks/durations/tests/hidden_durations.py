import unittest

from durations import parse


class Hidden(unittest.TestCase):
    def test_days(self):
        self.assertEqual(parse("2d4h"), 187200)
        self.assertEqual(parse("1d"), 86400)
        self.assertEqual(parse("1d1h1m1s"), 90061)

    def test_as_before(self):
        self.assertEqual(parse("1h30m"), 5400)
        for text in ("", "x", "5", "3s2h", "1h1d", "d"):
            with self.assertRaises(ValueError):
                parse(text)
