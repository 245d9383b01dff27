"""``genserve batch``: a corpus through a version, as an Apache Beam pipeline (extra ``beam``).

``job`` says what is asked, ``shards`` cuts the input, ``columns`` makes requests of rows, ``answering`` asks
the version, ``results`` writes; ``pipeline`` puts them together and alone knows Beam's transforms.
"""
