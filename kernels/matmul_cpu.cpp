// Tiles of a product on oneDNN, one single-threaded primitive per tile shape.
#include <omp.h>

#include <algorithm>
#include <dnnl.hpp>
#include <string>
#include <unordered_map>

#include "kernels/dispatch.hpp"
#include "kernels/matmul_impl.hpp"

namespace collie::kernels::cpu {

namespace {

using dnnl::memory;

// Bounds what the odd tile shapes of free-running text generation may pile up in one thread.
constexpr std::size_t primitives_per_thread_max = 512;

struct ProductHash {
  std::size_t operator()(const Product& product) const {
    std::size_t hash = 0;
    for (const std::int64_t part :
         {product.m, product.n, product.k, product.a_row, product.a_column, product.b_row,
          product.b_column, product.c_row,
          std::int64_t{static_cast<int>(product.in) * 64 + static_cast<int>(product.out) * 4 +
                       product.accumulate * 2 + product.bias}}) {
      hash = (hash ^ static_cast<std::size_t>(part)) * 0x9e3779b97f4a7c15U;
      hash ^= hash >> 29;
    }
    return hash;
  }
};

memory::data_type type_of(DType dtype) {
  return dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

// A primitive with the memory objects of the thread that runs it.
struct Primitive {
  dnnl::matmul matmul;
  std::unordered_map<int, memory> arguments;
  std::size_t scratch_bytes = 0;
};

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

Primitive make_primitive(const Product& tile) {
  const memory::desc a({tile.m, tile.k}, type_of(tile.in), memory::dims{tile.a_row, tile.a_column});
  const memory::desc b({tile.k, tile.n}, type_of(tile.in), memory::dims{tile.b_row, tile.b_column});
  const memory::desc c({tile.m, tile.n}, type_of(tile.out), memory::dims{tile.c_row, 1});
  const memory::desc bias({1, tile.n}, type_of(tile.in), memory::dims{tile.n, 1});
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (tile.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0F);
    attributes.set_post_ops(sum);
  }
  const auto descriptor =
      tile.bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c);
  const dnnl::matmul::primitive_desc chosen(descriptor, attributes, cpu_engine());
  Primitive primitive{dnnl::matmul(chosen), {}, chosen.scratchpad_desc().get_size()};
  const auto add = [&](int argument, const memory::desc& layout) {
    primitive.arguments.emplace(argument, memory(layout, cpu_engine(), nullptr));
  };
  add(DNNL_ARG_SRC, a);
  add(DNNL_ARG_WEIGHTS, b);
  add(DNNL_ARG_DST, c);
  add(DNNL_ARG_SCRATCHPAD, chosen.scratchpad_desc());
  if (tile.bias) add(DNNL_ARG_BIAS, bias);
  return primitive;
}

// What one thread keeps; oneDNN's own cache shares the generated code between threads.
class ThreadPrimitives {
 public:
  // A tile is one task of one lane: oneDNN must not start threads of its own.
  ThreadPrimitives() : stream_(cpu_engine()) { omp_set_num_threads(1); }

  Primitive& get(const Product& tile) {
    const auto found = primitives_.find(tile);
    if (found != primitives_.end()) return found->second;
    if (primitives_.size() >= primitives_per_thread_max) primitives_.clear();
    return primitives_.emplace(tile, make_primitive(tile)).first->second;
  }
  const dnnl::stream& stream() const { return stream_; }

 private:
  dnnl::stream stream_;
  std::unordered_map<Product, Primitive, ProductHash> primitives_;
};

struct Operands {
  const std::byte* a;
  const std::byte* b;
  const std::byte* bias;
  std::byte* c;
};

void run_tile(Stream& stream, const Product& tile, const Operands& operands, int lane) {
  thread_local ThreadPrimitives primitives;
  Primitive& primitive = primitives.get(tile);
  const auto set = [&](int argument, const std::byte* data) {
    primitive.arguments.at(argument).set_data_handle(const_cast<std::byte*>(data));
  };
  set(DNNL_ARG_SRC, operands.a);
  set(DNNL_ARG_WEIGHTS, operands.b);
  set(DNNL_ARG_DST, operands.c);
  set(DNNL_ARG_SCRATCHPAD, stream.scratch(lane, primitive.scratch_bytes));
  if (tile.bias) set(DNNL_ARG_BIAS, operands.bias);
  primitive.matmul.execute(primitives.stream(), primitive.arguments);
}

std::int64_t element_offset(std::int64_t elements, DType dtype) {
  return elements * static_cast<std::int64_t>(size_of(dtype));
}

// The reduction in parts, added up in order in float32 and rounded to bf16 once at the end.
void run_tile_in_parts(Stream& stream, const Product& tile, const Operands& operands,
                       std::int64_t depth, float* sums, int lane) {
  for (std::int64_t begin = 0; begin < tile.k; begin += depth) {
    Product part = tile;
    part.k = std::min(depth, tile.k - begin);
    part.out = DType::f32;
    part.accumulate = begin > 0;
    part.bias = tile.bias && begin == 0;
    Operands shifted = operands;
    shifted.a += element_offset(begin * tile.a_column, tile.in);
    shifted.b += element_offset(begin * tile.b_row, tile.in);
    shifted.c = reinterpret_cast<std::byte*>(sums);
    run_tile(stream, part, shifted, lane);
  }
  auto* c = reinterpret_cast<BFloat16*>(operands.c);
  for (std::int64_t row = 0; row < tile.m; ++row) {
    for (std::int64_t i = row * tile.c_row; i < row * tile.c_row + tile.n; ++i) {
      c[i] = BFloat16(tile.accumulate ? sums[i] + static_cast<float>(c[i]) : sums[i]);
    }
  }
}

}  // namespace

bool has_bf16_products() {
  static const bool supported = [] {
    const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
    return isa >= dnnl::cpu_isa::avx512_core && isa != dnnl::cpu_isa::avx2_vnni;
  }();
  return supported;
}

void multiply(Stream& stream, const Product& product, const std::byte* a, const std::byte* b,
              const std::byte* bias, std::byte* c) {
  const TileSize size = tile_size(product);
  const bool in_parts = size.depth < product.k;
  Tensor sums;  // the float32 sums of a reduction in parts, laid out like C
  if (in_parts) sums = stream.allocate(DType::f32, {product.m, product.n});
  float* sum_data = in_parts ? sums.mutable_data<float>() : nullptr;
  const std::int64_t column_tiles = ceil_div(product.n, size.columns);
  const std::int64_t row_tiles = ceil_div(product.m, size.rows);
  stream.parallel_for(row_tiles * column_tiles, [&](std::int64_t index, int lane) {
    const std::int64_t row = index / column_tiles * size.rows;
    const std::int64_t column = index % column_tiles * size.columns;
    Product tile = product;
    tile.m = std::min(size.rows, product.m - row);
    tile.n = std::min(size.columns, product.n - column);
    const std::int64_t corner = row * product.c_row + column;
    const Operands operands{a + element_offset(row * product.a_row, product.in),
                            b + element_offset(column * product.b_column, product.in),
                            bias == nullptr ? nullptr : bias + element_offset(column, product.in),
                            c + element_offset(corner, product.out)};
    try {
      if (in_parts) {
        run_tile_in_parts(stream, tile, operands, size.depth, sum_data + corner, lane);
      } else {
        run_tile(stream, tile, operands, lane);
      }
    } catch (const dnnl::error& error) {
      stream.set_error(make_error(ErrorCode::unsupported, "oneDNN cannot multiply {}x{}x{}: {}",
                                  tile.m, tile.k, tile.n, error.what()));
    }
  });
}

}  // namespace collie::kernels::cpu
