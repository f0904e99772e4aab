"""What all tests share."""

from hypothesis import settings

# A machine is shared and noisy, and compiled kernels take their time at first use: no deadline per example.
settings.register_profile("funnel", deadline=None)
settings.load_profile("funnel")
