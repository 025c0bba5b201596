# What the peers share: the work they get as JSON, arrays of the same distributions as native/core/measure.cc
# makes (other random bits), and the timing. Each script prints
# {"seconds": median, "runs": n, "version": of the library}.
import json
import sys
import time

import numpy

# After this many seconds of measuring, the runs made so far are enough.
BUDGET_SECONDS = 20.0


def work():
    return json.loads(sys.argv[1])


def rank(job):
    """How many weights are removed: round(ratio * n), the rank of the threshold."""
    return max(1, round(job["ratio"] * job["elements"]))


def weights(job):
    """A numpy array of the job's distribution; float32 stands in where numpy has no such type (bfloat16)."""
    generator = numpy.random.default_rng(1)
    n = job["elements"]
    kind = job["distribution"]
    uniform = lambda: generator.random(n, dtype=numpy.float32)
    if kind == "normal":
        values = generator.standard_normal(n, dtype=numpy.float32)
    elif kind == "uniform":
        values = uniform() * 2 - 1
    elif kind == "constant":
        values = numpy.full(n, 0.5, dtype=numpy.float32)
    elif kind == "zeros90":
        values = generator.standard_normal(n, dtype=numpy.float32)
        values[uniform() < 0.9] = 0
    elif kind == "heavy":
        values = numpy.tan(numpy.float32(3.1) * (uniform() - numpy.float32(0.5)))
    elif kind == "few":
        values = numpy.floor(uniform() * 16) / 16 - numpy.float32(0.5)
    else:
        sys.exit("unknown distribution " + kind)
    types = {"float16": numpy.float16, "float64": numpy.float64}
    return values.astype(types.get(job["dtype"], numpy.float32), copy=False)


def tensor(job):
    """The same as a torch tensor of the job's type."""
    import torch

    torch.set_num_threads(job["threads"])
    types = {
        "float32": torch.float32,
        "float64": torch.float64,
        "float16": torch.float16,
        "bfloat16": torch.bfloat16,
    }
    return torch.from_numpy(weights(job)).to(types[job["dtype"]])


def repeat(job, version, run):
    """Calls run(), which returns seconds, and prints the median. The first run warms up and counts only if it used up
    the budget."""
    times = []
    start = time.perf_counter()
    for number in range(job["repeats"] + 1):
        seconds = run()
        late = time.perf_counter() - start > BUDGET_SECONDS
        if number > 0 or late:
            times.append(seconds)
        if late:
            break
    print(json.dumps({"seconds": float(numpy.median(times)), "runs": len(times), "version": version}))


def measure(job, version, call, prepare=lambda: None):
    """Times call(prepare())."""

    def run():
        argument = prepare()
        begin = time.perf_counter()
        call(argument)
        return time.perf_counter() - begin

    repeat(job, version, run)


def measure_cuda(job, call):
    """Times call(the job's tensor on a GPU) by CUDA's events."""
    import torch

    if not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} sees no GPU")
    values = tensor(job).to("cuda")

    def run():
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call(values)
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1000

    repeat(job, torch.__version__, run)
