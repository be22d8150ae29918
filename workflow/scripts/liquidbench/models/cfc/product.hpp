// Matrix products for the small matrices of one time step, one thread each.
//
// Torch's products pay for a parallel region and a dispatch at every call, which costs more than the product of a step.
// These keep a tile of the result in registers: 6 rows by two vectors, which leaves registers for one row of the weights
// and one broadcast input.

#pragma once

#include <algorithm>
#include <vector>

#include "vector_math.hpp"

constexpr int kTileRows = 6;

template <typename T>
constexpr int kTileColumns = 2 * kLanes<T>;

template <typename T>
inline int64_t padded(int64_t columns) {
    return (columns + kTileColumns<T> - 1) / kTileColumns<T> * kTileColumns<T>;
}

// A (depth, columns) matrix as panels of kTileColumns columns, each panel (depth, kTileColumns), padded with zeros.
template <typename T>
class Panels {
   public:
    // From `entry(k, n)`, the element in row k and column n; n counts padded columns.
    template <typename Entry>
    void pack(int64_t depth, int64_t columns, Entry entry) {
        depth_ = depth;
        columns_ = columns;
        values_.resize(depth * columns);
        T* to = values_.data();
        for (int64_t panel = 0; panel < columns; panel += kTileColumns<T>)
            for (int64_t k = 0; k < depth; ++k)
                for (int j = 0; j < kTileColumns<T>; ++j) *to++ = entry(k, panel + j);
    }

    // result = start + input * this. `input` is (rows, depth); `start` and `result` are (rows, columns), columns padded.
    // Strides lead from row to row; a start of stride 0 is one row for all, a null one is zero.
    void multiply(const T* input, int64_t input_stride, int64_t rows, const T* start, int64_t start_stride, T* result,
                  int64_t result_stride) const {
        for (int64_t panel = 0; panel < columns_; panel += kTileColumns<T>) {
            const T* weights = values_.data() + panel * depth_;
            // Tiles of nearly equal height: a last one of a single row would cost as much as one of four.
            int64_t tiles = (rows + kTileRows - 1) / kTileRows;
            for (int64_t i = 0, row = 0; i < tiles; row = rows * ++i / tiles) {
                const T* a = input + row * input_stride;
                const T* from = start ? start + row * start_stride + panel : nullptr;
                T* c = result + row * result_stride + panel;
                switch (rows * (i + 1) / tiles - row) {
                    case 6: tile<6>(a, input_stride, weights, from, start_stride, c, result_stride); break;
                    case 5: tile<5>(a, input_stride, weights, from, start_stride, c, result_stride); break;
                    case 4: tile<4>(a, input_stride, weights, from, start_stride, c, result_stride); break;
                    case 3: tile<3>(a, input_stride, weights, from, start_stride, c, result_stride); break;
                    case 2: tile<2>(a, input_stride, weights, from, start_stride, c, result_stride); break;
                    default: tile<1>(a, input_stride, weights, from, start_stride, c, result_stride);
                }
            }
        }
    }

   private:
    template <int Rows>
    void tile(const T* a, int64_t a_stride, const T* weights, const T* start, int64_t start_stride, T* c,
              int64_t c_stride) const {
        Vec<T> sum[Rows][2] = {};
        if (start)
            for (int r = 0; r < Rows; ++r) {
                sum[r][0] = load(start + r * start_stride);
                sum[r][1] = load(start + r * start_stride + kLanes<T>);
            }
        for (int64_t k = 0; k < depth_; ++k) {
            Vec<T> left = load(weights + k * kTileColumns<T>);
            Vec<T> right = load(weights + k * kTileColumns<T> + kLanes<T>);
            for (int r = 0; r < Rows; ++r) {
                Vec<T> x = splat(a[r * a_stride + k]);
                sum[r][0] += x * left;
                sum[r][1] += x * right;
            }
        }
        for (int r = 0; r < Rows; ++r) {
            store(c + r * c_stride, sum[r][0]);
            store(c + r * c_stride + kLanes<T>, sum[r][1]);
        }
    }

    int64_t depth_ = 0, columns_ = 0;
    std::vector<T> values_;
};

// Rows of a matrix that lie together.
template <typename T>
struct Rows {
    const T* first;
    int64_t count;
};

// Gradients of a layer: sums over rows of what is behind it, and of outer products with what is before it.
template <typename T>
class OuterProducts {
   public:
    // sums += transpose(y) * x, totals += column sums of y: y is (rows, height); x, in pieces, (rows, width);
    // sums (height, width); width is padded.
    void add(const T* y, int64_t height, const std::vector<Rows<T>>& x, int64_t width, int64_t rows,
             T* sums, T* totals) {
        // Both factors are copied into strips as wide as a tile: their columns, read down, would miss the cache.
        int64_t strips = (height + kTileRows - 1) / kTileRows;
        behind_.resize(strips * rows * kTileRows);
        before_.resize(rows * kTileColumns<T>);
        for (int64_t strip = 0; strip < strips; ++strip) {
            int64_t from = strip * kTileRows;
            T* to = behind_.data() + strip * rows * kTileRows;
            if (height - from >= kTileRows)
                gather(y + from, height, kTileRows, rows, to, totals + from);
            else
                gather(y + from, height, height - from, rows, to, totals + from);
        }
        for (int64_t j = 0; j < width; j += kTileColumns<T>) {
            T* to = before_.data();
            for (const Rows<T>& piece : x)
                for (int64_t row = 0; row < piece.count; ++row, to += kTileColumns<T>) {
                    const T* from = piece.first + row * width + j;
                    store(to, load(from));
                    store(to + kLanes<T>, load(from + kLanes<T>));
                }
            for (int64_t strip = 0; strip < strips; ++strip) {
                const T* left = behind_.data() + strip * rows * kTileRows;
                T* to = sums + strip * kTileRows * width + j;
                switch (std::min<int64_t>(kTileRows, height - strip * kTileRows)) {
                    case 6: tile<6>(left, rows, to, width); break;
                    case 5: tile<5>(left, rows, to, width); break;
                    case 4: tile<4>(left, rows, to, width); break;
                    case 3: tile<3>(left, rows, to, width); break;
                    case 2: tile<2>(left, rows, to, width); break;
                    default: tile<1>(left, rows, to, width);
                }
            }
        }
    }

   private:
    // Inlined, so that a whole strip is copied by a loop of known length.
    __attribute__((always_inline)) static inline void gather(const T* y, int64_t y_stride, int64_t tall,
                                                             int64_t rows, T* to, T* totals) {
        T total[kTileRows] = {};
        for (int64_t row = 0; row < rows; ++row, y += y_stride, to += kTileRows)
            for (int64_t i = 0; i < tall; ++i) {
                to[i] = y[i];
                total[i] += y[i];
            }
        for (int64_t i = 0; i < tall; ++i) totals[i] += total[i];
    }

    template <int Tall>
    void tile(const T* y, int64_t rows, T* c, int64_t c_stride) const {
        const T* x = before_.data();
        Vec<T> sum[Tall][2];
        for (int i = 0; i < Tall; ++i) {
            sum[i][0] = load(c + i * c_stride);
            sum[i][1] = load(c + i * c_stride + kLanes<T>);
        }
        for (int64_t row = 0; row < rows; ++row, y += kTileRows, x += kTileColumns<T>) {
            Vec<T> left = load(x), right = load(x + kLanes<T>);
            for (int i = 0; i < Tall; ++i) {
                Vec<T> scale = splat(y[i]);
                sum[i][0] += scale * left;
                sum[i][1] += scale * right;
            }
        }
        for (int i = 0; i < Tall; ++i) {
            store(c + i * c_stride, sum[i][0]);
            store(c + i * c_stride + kLanes<T>, sum[i][1]);
        }
    }

    std::vector<T> behind_, before_;
};
