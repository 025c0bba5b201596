// The reader that is this processor, with the kernels of a backend.
#ifndef SECATEUR_CORE_HOST_READER_H_
#define SECATEUR_CORE_HOST_READER_H_

#include <memory>
#include <vector>

#include "core/reader.h"

namespace secateur {

class HostReader final : public Reader {
 public:
  using Reader::Reader;

  Sample Take(int64_t count) const override;
  std::shared_ptr<const ClassPass> Pass(Cuts cuts) const override;
  std::vector<uint64_t> ValuesStored(const ClassPass& pass,
                                     const std::vector<StoredRank>& ranks) const override;
  std::unique_ptr<Tallies> TallyAll(const std::vector<RankedWeight>& found) const override;
  [[noreturn]] void ThrowNonfinite(const ClassPass& pass) const override;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_HOST_READER_H_
