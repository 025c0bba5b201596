// The reader that is a GPU.
#ifndef SECATEUR_CORE_DEVICE_READER_H_
#define SECATEUR_CORE_DEVICE_READER_H_

#include <memory>

#include "core/reader.h"

namespace secateur {

class Device;

// Throws Error CUDA.
std::unique_ptr<Reader> MakeDeviceReader(const Device& device, const PassContext& context);

}  // namespace secateur

#endif  // SECATEUR_CORE_DEVICE_READER_H_
