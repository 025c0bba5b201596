# torch.sort of the magnitudes on a GPU, which is CUB's radix sort with the order beside it.
from common import measure_cuda, work

measure_cuda(work(), lambda values: values.abs().sort())
