// What the files of the library have in common: the launches, how large they are, and failures.
#ifndef SECATEUR_CUDA_KERNELS_H_
#define SECATEUR_CUDA_KERNELS_H_

#include "cuda/api.h"

namespace secateur::cuda {

enum class Work : uint8_t { kSelect, kStream };

// How many blocks the tiles are shared among: at least one, at most what fits on the GPU.
unsigned GridFor(const Tiles& tiles, Work work);

// The failure of the last launch, 0 if there was none.
int32_t LastFailure();

int32_t LaunchSample(const SampleArgs* args, Stream stream);
int32_t LaunchClassify(const ClassifyArgs* args, Stream stream);
int32_t LaunchHistogram(const HistogramArgs* args, Stream stream);
int32_t LaunchTally(const TallyArgs* args, Stream stream);
int32_t LaunchMask(const MaskArgs* args, Stream stream);
int32_t LaunchPack(const PackArgs* args, Stream stream);
int32_t LaunchRead(const void* memory, int64_t bytes, uint32_t* result, Stream stream);
int32_t LaunchStep(const StepArgs* args, Stream stream);
int32_t LaunchNorm(const NormArgs* args, Stream stream);
int32_t LaunchNext(const NextArgs* args, Stream stream);
int32_t LaunchProject(const ProjectArgs* args, Stream stream);

}  // namespace secateur::cuda

#endif  // SECATEUR_CUDA_KERNELS_H_
