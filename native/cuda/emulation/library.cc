// The library's own files, compiled for the emulation. A file of its own, so that nvcc compiles
// them as they are in the same build.
#include "cuda/mask.cu"
#include "cuda/runtime.cu"
#include "cuda/select.cu"
#include "cuda/train.cu"
