# numpy.partition of the magnitudes: the threshold stands at its place, smaller ones before it.
import numpy
from common import measure, rank, weights, work

job = work()
if job["dtype"] == "bfloat16":
    raise SystemExit("numpy has no bfloat16")
values = weights(job)
k = rank(job) - 1
measure(job, numpy.__version__, lambda _: numpy.partition(numpy.abs(values), k)[k])
