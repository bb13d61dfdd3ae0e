// More rows for embedding and head than the model's files have, as transformers'
// resize_token_embeddings gives them. New rows are the mean of the old ones of their table, in
// float32 (Hewitt, "Initializing new word embeddings for pretrained language models", 2021;
// transformers adds noise of a variance of 1e-9 of the old rows' to it, here there is none), so
// every grid starts from the same model.
#pragma once

#include "models/hf_model.hpp"

namespace collie {

// traits.vocabulary_size and config.json's vocab_size become `rows`; rows_in_files keeps what was.
// Fewer rows than there are are refused, in the name of the key.
Status resize_vocabulary(std::int64_t rows, ModelTraits& traits);

// The traits of the model as its files have it.
ModelTraits traits_of_files(const ModelTraits& traits);

// Whether a parameter is one row for each token of the vocabulary.
bool is_vocabulary_table(const ParameterSpec& spec);
// read_parameter for a vocabulary table whose file has `rows_in_files` rows.
void read_resized(const LocatedTensor& located, const ParameterSpec& spec,
                  std::int64_t rows_in_files, Tensor value);

}  // namespace collie
