// The projection of ADMM over all prunable tensors of a store together, on one state array V = W +
// U instead of Z and U (see AdmmState), and the masks of retraining. The W-step is in optimizer.h.
#ifndef SECATEUR_ADMM_H_
#define SECATEUR_ADMM_H_

#include <cstdint>
#include <vector>

#include "secateur/backend.h"
#include "secateur/parameter_store.h"
#include "secateur/select.h"

namespace secateur {

// Where the store has a grouping, groups are kept instead of weights, as SelectGroups says.
struct ProjectOptions {
  double ratio = 0;  // in [0, 1): of the prunable weights, removed exactly round(ratio * N)
  Scope scope = Scope::kGlobal;
  double min_keep = 0;
  int threads = 0;
  const Backend* backend = nullptr;  // null: ActiveBackend()
};

struct ProjectResult {
  double gap = 0;       // ||W - Z||, over all prunable tensors
  double moved = 0;     // ||Z - Z before||
  int64_t changed = 0;  // weights that Z keeps now and did not before, or the other way round
  int64_t weights = 0;  // prunable ones
  int64_t removed = 0;
  // 0 for tensors that are never pruned; with a grouping also of those that follow, which `removed`
  // does not count.
  std::vector<int64_t> removed_by_tensor;
};

// V := W + U; Z := the projection of V that keeps its largest magnitudes; U := V - Z. The first
// call begins with U = 0, Z before = 0 and all weights kept. Select's errors leave the state as it
// was, NONFINITE_WEIGHT names the tensor and index. Holds the store's mutex.
ProjectResult AdmmProject(ParameterStore& store, const ProjectOptions& options);

struct MaskResult {
  std::vector<int64_t> kept;  // of each tensor; all of those that are never pruned
  int64_t common = 0;         // prunable weights kept by the mask before, too
};

// Sets the mask, and zeroes what it removes in parameters and momenta. The first keeps Z's support,
// exactly; the second what a selection over the prunable tensors, in order, keeps of `ranked`
// (kParameters, if those were selected from); the third every weight that is not zero. Throws Error
// INVALID_OPTION when there is no Z, or the selection is not of as many tensors.
MaskResult MaskBySupport(ParameterStore& store, int threads);
MaskResult MaskBySelection(ParameterStore& store, const std::vector<TensorThreshold>& thresholds,
                           int threads);
MaskResult MaskByZeros(ParameterStore& store, int threads);

// What a group selection over the parameters keeps, with the elements of tensors that follow; other
// masks keep those. Throws what SelectGroups throws, and INVALID_OPTION without a grouping.
MaskResult MaskByGroups(ParameterStore& store, const ProjectOptions& options);

// Sets the grouping, or takes it away; the ADMM state stays as it is. Throws INVALID_OPTION where
// it is not of the tensors that are pruned or follow, in order.
void SetGrouping(ParameterStore& store, std::optional<Grouping> grouping);

// Zeroes what the present mask removes; after a mask was written through its view.
MaskResult ApplyStoreMask(ParameterStore& store, int threads);

// Forgets the mask; the zeros may grow again.
void ClearMask(ParameterStore& store);

// Weights that are not zero though the mask removes them: 0, or there is a mistake somewhere.
int64_t RevivedWeights(ParameterStore& store);

// Puts a saved state back; V itself is written through its slot. Throws Error INVALID_OPTION when
// it is not of as many tensors.
void RestoreAdmm(ParameterStore& store, AdmmState state);

// Forgets V, Z and U, as before the first projection.
void ResetAdmm(ParameterStore& store);

}  // namespace secateur

#endif  // SECATEUR_ADMM_H_
