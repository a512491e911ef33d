import unittest

from durations import parse


class Durations(unittest.TestCase):
    def test_hours_minutes_seconds(self):
        self.assertEqual(parse("1h30m"), 5400)
        self.assertEqual(parse("45s"), 45)

    def test_nonsense(self):
        for text in ("", "x", "5", "3s2h"):
            with self.assertRaises(ValueError):
                parse(text)
