import unittest

from ranges import merge


class Hidden(unittest.TestCase):
    def test_touching(self):
        self.assertEqual(merge([(1, 3), (4, 6)]), [(1, 6)])
        self.assertEqual(merge([(4, 6), (1, 3), (8, 9)]), [(1, 6), (8, 9)])

    def test_as_before(self):
        self.assertEqual(merge([(5, 9), (1, 6)]), [(1, 9)])
        self.assertEqual(merge([(1, 2), (5, 6)]), [(1, 2), (5, 6)])
        self.assertEqual(merge([]), [])
