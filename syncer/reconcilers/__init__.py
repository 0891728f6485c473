"""From a request to the writes that close the gap between the two sides.

Two reconcilers are generic over kinds (downward, published); pods and events have more to do.
"""
