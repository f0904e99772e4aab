"""stub"""


class History:
    def __init__(self, c):
        pass

    def newest(self, n, p):
        return None
