"""One syncer among several: which tenants this process may act for, and until when.

``lease`` shows that the process lives, ``claims`` records who holds which buckets, ``members`` brings the
two together, and ``fence`` stops every write once the Lease could not be renewed.
"""
