import unittest

from ranges import merge


class Ranges(unittest.TestCase):
    def test_overlap(self):
        self.assertEqual(merge([(5, 9), (1, 6)]), [(1, 9)])

    def test_gap(self):
        self.assertEqual(merge([(1, 2), (5, 6)]), [(1, 2), (5, 6)])
