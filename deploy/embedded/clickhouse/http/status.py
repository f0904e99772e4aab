"""The HTTP status of a ClickHouse exception, as a server chooses it."""

_STATUS = {
    # The statement, a value or a part of it is malformed.
    400: (
        *(6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441),
        *(675, 676),
    ),
    401: (194,),
    403: (192, 193, 497, 512, 516),
    # A table, function, identifier, type, engine, database, setting or format that there is not.
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
    408: (159,),
    411: (381,),
    413: (229,),
    415: (779,),
    501: (48,),
    503: (76, 209, 439),
}
_BY_CODE = {code: status for status, codes in _STATUS.items() for code in codes}


def status_of(code: int) -> int:
    """The status for an exception's code; 500 for all others."""
    return _BY_CODE.get(code, 500)
