// Group selections over the tensors of a store, from whichever values.
#ifndef SECATEUR_CORE_GROUPED_STORE_H_
#define SECATEUR_CORE_GROUPED_STORE_H_

#include <functional>
#include <memory>
#include <vector>

#include "core/key_buffer.h"
#include "secateur/admm.h"
#include "secateur/groups.h"

namespace secateur {

class GroupedStore {
 public:
  using SourceOf = std::function<std::unique_ptr<Source>(size_t tensor)>;

  // `source_of` gives the values to rank of a prunable tensor, as floats. The store must have a
  // grouping and outlive this. Throws INVALID_OPTION where the grouping is of other tensors.
  GroupedStore(const ParameterStore& store, const SourceOf& source_of);

  GroupSelection Select(const ProjectOptions& options) const;

  // One byte a weight, laid out as the store's mask; 1 for tensors that masks don't apply to.
  KeyBuffer SupportOf(const GroupSelection& selection, int threads) const;

  // The tensor of the store that is the n-th of the selection.
  const std::vector<size_t>& members() const { return members_; }

 private:
  const ParameterStore& store_;
  std::vector<size_t> members_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::vector<Tensor> tensors_;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_GROUPED_STORE_H_
