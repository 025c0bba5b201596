// SECATEUR_HD marks functions that run on the CPU and, compiled by nvcc, on the GPU too.
#ifndef SECATEUR_CORE_HOST_DEVICE_H_
#define SECATEUR_CORE_HOST_DEVICE_H_

#if defined(__CUDACC__)
#define SECATEUR_HD __host__ __device__
#else
#define SECATEUR_HD
#endif

#endif  // SECATEUR_CORE_HOST_DEVICE_H_
