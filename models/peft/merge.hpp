// Adapters folded into the weights they stand beside, and taken out again.
#pragma once

#include <functional>
#include <vector>

#include "models/peft/tuning.hpp"

namespace collie {

// Whether the method can be written as other weights of the same model: lora and ia3 can, DoRA
// where a shard has whole rows, and none that changes one of a tied embedding and its head. The
// error says why not.
Status check_mergeable(const Tuning& tuning, const ModelTraits& traits, int tp_size);

// One parameter with the adapter folded in: `value`, f32 and of its local shape, is what it is
// without. Nothing is done where no adapter stands beside it. So a model can be written from the
// base's own files, whatever is kept of them while it is tuned.
void merge_into(const Tuning& tuning, const Parameters& parameters, Stream& stream, int index,
                Tensor& value);

// All of them where they are kept. lora: W + lora_scale * B A for every adapted weight of one
// shard, in float32, with dora scaled to the rows' magnitudes; ia3: rows (and their bias) or
// columns times their factors. Weights that are bfloat16 alone are rounded afterwards. Then the
// compute copy is refreshed. The adapters stay as they are, so what is merged must not run with
// them beside it. check_mergeable has said yes. Call it from work submitted to the stream.
void merge_adapter(const Tuning& tuning, Parameters& parameters, Stream& stream);

// The way back from merge_adapter: load_base fills in the model as it was before the adapter, and
// what is trained keeps its values. So the frozen weights are what they were to the last bit, and
// nothing needs to be kept; W + x - x in float32 would not be W. Call it from work submitted to the
// stream.
Status unmerge_adapter(Parameters& parameters, Stream& stream,
                       const std::function<Status()>& load_base);

// The values of all that is trained and held here, and back; the compute copy is refreshed.
std::vector<Tensor> copy_trained(const Parameters& parameters, Stream& stream);
void put_trained(const std::vector<Tensor>& trained, Parameters& parameters, Stream& stream);

}  // namespace collie
