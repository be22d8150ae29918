// One CfC layer over whole sequences, forwards and backwards in time.
//
// The batch is divided among threads, and a thread carries its own rows through all steps: no barrier, and a step's
// numbers stay in the cache. portable.py has the same mathematics in PyTorch and explains it; here are only loops.
// `native.py` fills in `Sweep` and calls the functions at the end of this file.

#include <memory>

#include "product.hpp"

namespace {

enum Mode : int64_t { kDefault = 0, kNoGate = 1, kPure = 2 };
enum Activation : int64_t { kLeCunTanh = 0, kTanh = 1, kRelu = 2, kSilu = 3, kGelu = 4 };

// Rows of a batch that a thread takes through the sequence together: enough that weights are read from the cache
// seldom, few enough that the step's numbers stay in it.
constexpr int64_t kBlockRows = 48;
// Steps' rows that are gathered before the gradients of the weights are added up.
constexpr int64_t kChunkRows = 96;

}  // namespace

// Every array is dense in its last dimension. `p(n)` below is n padded to whole tiles (`cfc_padded`). Where a dimension is
// called slot, it is the batch in the order of the blocks: `slots` says where each row of the batch went.
template <typename T>
struct Sweep {
    int64_t batch, time, units, depth, mode, activation, threads;
    const int64_t* widths;                // (depth): of the backbone's layers
    const int64_t* lengths;               // (batch), or null: all rows have `time` steps
    const int64_t* order;                 // (batch): rows, the longest first
    const T* inputs;                      // (batch, time, first): the inputs' part of the first product
    int64_t inputs_row, inputs_step;      // its strides
    const T* elapsed;                     // (batch, time), or null: 1
    const T* initial;                     // (batch, units), or null: 0
    const T* const* weights;              // depth + 1 matrices, the last of the gates' maps
    const T* const* biases;               // depth + 1; the first is null, being in the inputs' part
    const T* decay;                       // (units): mode pure
    const T* asymptote;                   // (units): mode pure
    const T* const* dropout;              // depth times (time, batch, width): factors; or null
    int64_t* slots;                       // (batch): written by the forward function
    T* states;                            // (time, slot, p(units))
    T* const* activations;                // depth times (time, slot, p(width)); or null: no gradient wanted
    T* const* slopes;                     // the same shape: derivative of each activation
    T* gates;                             // (time, slot, saved gates * p(units)); or null
    const T* grad_states;                 // (batch, time, units)
    int64_t grad_states_row, grad_states_step;
    T* grad_inputs;                       // (batch, time, first), dense
    T* grad_initial;                      // (batch, units)
    T* const* grad_weights;               // as weights
    T* const* grad_biases;                // as biases
    T* grad_decay;
    T* grad_asymptote;
};

namespace {

template <typename T>
struct Shape {
    explicit Shape(const Sweep<T>& s)
        : maps(s.mode == kPure ? 1 : (s.elapsed ? 4 : 3)),
          saved(s.mode == kPure ? 2 : 3),
          units(padded<T>(s.units)) {
        for (int64_t i = 0; i < s.depth; ++i) {
            rows.push_back(s.widths[i]);
            height.push_back(padded<T>(s.widths[i]));
        }
        rows.push_back(maps * s.units);
        height.push_back(maps * units);
        for (int64_t i = 0; i <= s.depth; ++i) {
            int64_t parts = i < s.depth ? 1 : maps, size = rows[i] / parts, room = height[i] / parts;
            source.emplace_back(height[i], -1);
            for (int64_t n = 0; n < height[i]; ++n)
                if (n % room < size) source[i][n] = n / room * size + n % room;
        }
        for (int64_t i = 0; i <= s.depth; ++i) {
            columns.push_back(i ? s.widths[i - 1] : s.units);
            width.push_back(i ? height[i - 1] : units);
        }
    }

    int64_t maps;                  // linear maps to the gates
    int64_t saved;                 // arrays of `units` numbers kept of a step's gates
    int64_t units;                 // padded
    std::vector<int64_t> rows;     // of each layer's weight matrix
    std::vector<int64_t> height;   // the same, padded; each of the gates' maps is padded by itself
    // Of each layer: where a padded row lies in the weight matrix, -1 in the padding.
    std::vector<std::vector<int64_t>> source;
    std::vector<int64_t> columns;  // of each layer's weight matrix
    std::vector<int64_t> width;    // the same, padded
};

// Copies a row of a layer's outputs from its dense form to the padded one, or back.
template <typename T>
void spread(const Sweep<T>& s, const Shape<T>& shape, int64_t layer, const T* dense, T* to) {
    int64_t parts = layer < s.depth ? 1 : shape.maps;
    int64_t size = shape.rows[layer] / parts, room = shape.height[layer] / parts;
    for (int64_t part = 0; part < parts; ++part) {
        std::copy_n(dense + part * size, size, to + part * room);
        std::fill(to + part * room + size, to + (part + 1) * room, T(0));
    }
}

template <typename T>
void collect(const Sweep<T>& s, const Shape<T>& shape, int64_t layer, const T* from, T* dense) {
    int64_t parts = layer < s.depth ? 1 : shape.maps;
    int64_t size = shape.rows[layer] / parts, room = shape.height[layer] / parts;
    for (int64_t part = 0; part < parts; ++part)
        std::copy_n(from + part * room, size, dense + part * size);
}

// Rows of the batch that go together, the longest first, in slots one after the other.
struct Block {
    int64_t slot;
    std::vector<int64_t> rows, lengths;

    int64_t active(int64_t step) const {
        int64_t count = lengths.size();
        while (count && lengths[count - 1] <= step) --count;
        return count;
    }
};

// Blocks of nearly equal size, as many for each thread; rows of like length are dealt out to different blocks.
template <typename T>
std::vector<Block> blocks_of(const Sweep<T>& s) {
    int64_t per_thread = (s.batch + s.threads - 1) / s.threads;
    int64_t each = (per_thread + kBlockRows - 1) / kBlockRows;
    int64_t count = std::min(s.batch, each * s.threads);
    std::vector<Block> blocks(count);
    for (int64_t i = 0; i < s.batch; ++i) {
        int64_t row = s.lengths ? s.order[i] : i;
        Block& block = blocks[s.lengths ? i % count : i * count / s.batch];
        block.rows.push_back(row);
        block.lengths.push_back(s.lengths ? s.lengths[row] : s.time);
    }
    int64_t slot = 0;
    for (Block& block : blocks) {
        block.slot = slot;
        slot += block.rows.size();
    }
    return blocks;
}

// The states before the first step, (rows of the block, padded units).
template <typename T>
void first_states(const Sweep<T>& s, const Shape<T>& shape, const Block& block, std::vector<T>& to) {
    to.assign(block.rows.size() * shape.units, T(0));
    if (!s.initial) return;
    for (size_t r = 0; r < block.rows.size(); ++r)
        std::copy_n(s.initial + block.rows[r] * s.units, s.units, to.data() + r * shape.units);
}

// values := activation(values), and its derivative into slope.
template <typename T>
void activate(int64_t kind, int64_t width, T* values, T* slope) {
    for (int64_t j = 0; j < width; j += kLanes<T>) {
        Vec<T> x = load(values + j), y = x, d = x;
        if (kind == kLeCunTanh) {
            Vec<T> h = vector_tanh(x * T(0.666));
            y = T(1.7159) * h;
            d = T(1.7159 * 0.666) * (T(1) - h * h);
        } else if (kind == kTanh) {
            y = vector_tanh(x);
            d = T(1) - y * y;
        } else if (kind == kRelu) {
            // Written so that NaN stays NaN.
            y = x <= T(0) ? splat(T(0)) : x;
            d = x <= T(0) ? splat(T(0)) : splat(T(1));
        } else if (kind == kSilu) {
            Vec<T> gate = vector_sigmoid(x);
            y = x * gate;
            d = gate * (T(1) + x * (T(1) - gate));
        } else {
            // GELU: x times the normal distribution's cumulative function, by erf.
            for (int lane = 0; lane < kLanes<T>; ++lane) {
                T v = x[lane];
                T cumulative = T(0.5) * (T(1) + std::erf(v * T(0.70710678118654752)));
                y[lane] = v * cumulative;
                d[lane] = cumulative + v * std::exp(T(-0.5) * v * v) * T(0.3989422804014327);
            }
        }
        store(values + j, y);
        store(slope + j, d);
    }
}

template <typename T>
class Forward {
   public:
    Forward(const Sweep<T>& s, const Shape<T>& shape, const std::vector<Panels<T>>& panels)
        : s_(s), shape_(shape), panels_(panels), layers_(s.depth + 1), biases_(s.depth + 1) {
        slope_.resize(*std::max_element(shape.height.begin(), shape.height.end()));
        for (int64_t i = 1; i <= s.depth; ++i) {
            biases_[i].resize(shape.height[i]);
            spread(s, shape, i, s.biases[i], biases_[i].data());
        }
    }

    void run(const Block& block) {
        int64_t count = block.rows.size();
        for (int64_t i = 0; i <= s_.depth; ++i) layers_[i].resize(count * shape_.height[i]);
        first_states(s_, shape_, block, initial_);
        for (int64_t r = 0; r < count; ++r) s_.slots[block.rows[r]] = block.slot + r;
        for (int64_t step = 0; step < s_.time; ++step) {
            int64_t active = block.active(step);
            if (active) advance(block, step, active);
            std::fill_n(states(block, step) + active * shape_.units,
                        (count - active) * shape_.units, T(0));
        }
    }

   private:
    T* states(const Block& block, int64_t step) const {
        return s_.states + (step * s_.batch + block.slot) * shape_.units;
    }

    void advance(const Block& block, int64_t step, int64_t active) {
        int64_t here = step * s_.batch + block.slot;
        const T* below = step ? states(block, step - 1) : initial_.data();
        for (int64_t i = 0; i <= s_.depth; ++i) {
            int64_t height = shape_.height[i], width = shape_.width[i];
            bool kept = i < s_.depth && s_.activations;
            T* values = kept ? s_.activations[i] + here * height : layers_[i].data();
            if (i) {
                panels_[i].multiply(below, width, active, biases_[i].data(), 0, values, height);
            } else {
                for (int64_t r = 0; r < active; ++r)
                    spread(s_, shape_, 0,
                           s_.inputs + block.rows[r] * s_.inputs_row + step * s_.inputs_step,
                           values + r * height);
                panels_[0].multiply(below, width, active, values, height, values, height);
            }
            below = values;
            if (i == s_.depth) break;
            for (int64_t r = 0; r < active; ++r)
                activate_row(i, block.rows[r], step, here + r, values + r * height);
        }
        for (int64_t r = 0; r < active; ++r) {
            const T* maps = layers_[s_.depth].data() + r * shape_.height[s_.depth];
            T* saved = s_.gates ? s_.gates + (here + r) * shape_.saved * shape_.units : nullptr;
            T* state = s_.states + (here + r) * shape_.units;
            T elapsed = s_.elapsed ? s_.elapsed[block.rows[r] * s_.time + step] : T(1);
            if (s_.mode == kPure)
                solve(maps, elapsed, state, saved);
            else
                interpolate(maps, elapsed, state, saved);
        }
    }

    void activate_row(int64_t layer, int64_t row, int64_t step, int64_t here, T* values) {
        int64_t height = shape_.height[layer], width = s_.widths[layer];
        T* slope = s_.slopes ? s_.slopes[layer] + here * height : slope_.data();
        activate(s_.activation, height, values, slope);
        if (!s_.dropout) return;
        const T* factor = s_.dropout[layer] + (step * s_.batch + row) * width;
        for (int64_t j = 0; j < width; ++j) {
            values[j] *= factor[j];
            slope[j] *= factor[j];
        }
    }

    // Modes default and no_gate: between tanh(f) and tanh(g), or from the first by a part of the second.
    void interpolate(const T* maps, T elapsed, T* state, T* saved) const {
        int64_t units = shape_.units;
        for (int64_t j = 0; j < units; j += kLanes<T>) {
            Vec<T> f = vector_tanh(load(maps + j)), g = vector_tanh(load(maps + units + j));
            Vec<T> time = load(maps + 2 * units + j);
            if (s_.elapsed) time = time * elapsed + load(maps + 3 * units + j);
            Vec<T> gate = vector_sigmoid(time);
            store(state + j, s_.mode == kNoGate ? f + gate * g : f + gate * (g - f));
            if (saved) {
                store(saved + j, f);
                store(saved + units + j, g);
                store(saved + 2 * units + j, gate);
            }
        }
    }

    // Mode pure: A - A exp(-t (|w| + |f|)) f.
    void solve(const T* maps, T elapsed, T* state, T* saved) const {
        std::fill_n(state, shape_.units, T(0));
        for (int64_t j = 0; j < s_.units; ++j) {
            T f = maps[j];
            T decayed = std::exp(-elapsed * (std::fabs(s_.decay[j]) + std::fabs(f)));
            state[j] = s_.asymptote[j] - s_.asymptote[j] * decayed * f;
            if (saved) {
                saved[j] = f;
                saved[shape_.units + j] = decayed;
            }
        }
    }

    const Sweep<T>& s_;
    const Shape<T>& shape_;
    const std::vector<Panels<T>>& panels_;
    std::vector<std::vector<T>> layers_, biases_;
    std::vector<T> initial_, slope_;
};

// The gradients of one thread: of its rows' inputs directly, of the weights in sums of its own.
template <typename T>
class Backward {
   public:
    Backward(const Sweep<T>& s, const Shape<T>& shape, const std::vector<Panels<T>>& panels)
        : s_(s), shape_(shape), panels_(panels), behind_(s.depth + 1), before_(s.depth + 1),
          decay_(s.units), asymptote_(s.units) {
        for (int64_t i = 0; i <= s.depth; ++i) {
            weights_.emplace_back(shape.height[i] * shape.width[i]);
            biases_.emplace_back(shape.height[i]);
        }
    }

    void run(const Block& block) {
        int64_t count = block.rows.size(), units = shape_.units;
        for (int64_t i = 0; i <= s_.depth; ++i)
            behind_[i].resize((kChunkRows + count) * shape_.height[i]);
        first_states(s_, shape_, block, initial_);
        carried_.assign(count * units, T(0));
        for (int64_t r = 0; r < count; ++r) {
            int64_t valid = block.lengths[r];
            std::fill_n(s_.grad_inputs + (block.rows[r] * s_.time + valid) * shape_.rows[0],
                        (s_.time - valid) * shape_.rows[0], T(0));
        }
        for (int64_t step = s_.time - 1; step >= 0; --step) {
            int64_t active = block.active(step);
            if (active) retreat(block, step, active);
            if (gathered_ >= kChunkRows || step == 0) add_up();
        }
        for (int64_t r = 0; r < count; ++r)
            std::copy_n(carried_.data() + r * units, s_.units,
                        s_.grad_initial + block.rows[r] * s_.units);
    }

    // Adds padded row `n` of a layer's sums to the gradients; one caller a row.
    void give(int64_t layer, int64_t n) const {
        int64_t row = shape_.source[layer][n], columns = shape_.columns[layer];
        if (row < 0) return;
        const T* sums = weights_[layer].data() + n * shape_.width[layer];
        T* to = s_.grad_weights[layer] + row * columns;
        for (int64_t j = 0; j < columns; ++j) to[j] += sums[j];
        if (layer) s_.grad_biases[layer][row] += biases_[layer][n];
    }

    void give_solution() const {
        for (int64_t j = 0; j < s_.units; ++j) {
            s_.grad_decay[j] += decay_[j];
            s_.grad_asymptote[j] += asymptote_[j];
        }
    }

   private:
    void retreat(const Block& block, int64_t step, int64_t active) {
        int64_t units = shape_.units, depth = s_.depth, here = step * s_.batch + block.slot;
        for (int64_t r = 0; r < active; ++r) {
            int64_t row = block.rows[r];
            T* grad = carried_.data() + r * units;
            const T* given = s_.grad_states + row * s_.grad_states_row + step * s_.grad_states_step;
            for (int64_t j = 0; j < s_.units; ++j) grad[j] += given[j];
            const T* saved = s_.gates + (here + r) * shape_.saved * units;
            T elapsed = s_.elapsed ? s_.elapsed[row * s_.time + step] : T(1);
            T* maps = gradients(depth) + r * shape_.height[depth];
            if (s_.mode == kPure)
                unsolve(grad, saved, elapsed, maps);
            else
                separate(grad, saved, elapsed, maps);
        }
        for (int64_t i = depth; i > 0; --i) {
            int64_t width = shape_.width[i];
            T* grad = gradients(i - 1);
            panels_[i].multiply(gradients(i), shape_.height[i], active, nullptr, 0, grad, width);
            const T* slope = s_.slopes[i - 1] + here * width;
            for (int64_t j = 0; j < active * width; ++j) grad[j] *= slope[j];
            before_[i].push_back({s_.activations[i - 1] + here * width, active});
        }
        panels_[0].multiply(gradients(0), shape_.height[0], active, nullptr, 0, carried_.data(), units);
        before_[0].push_back(
            {step ? s_.states + (here - s_.batch) * units : initial_.data(), active});
        for (int64_t r = 0; r < active; ++r)
            collect(s_, shape_, 0, gradients(0) + r * shape_.height[0],
                    s_.grad_inputs + (block.rows[r] * s_.time + step) * shape_.rows[0]);
        gathered_ += active;
    }

    // Gradients of a layer's outputs at the present step, (active rows, padded height).
    T* gradients(int64_t layer) { return behind_[layer].data() + gathered_ * shape_.height[layer]; }

    void separate(const T* grad, const T* saved, T elapsed, T* maps) const {
        int64_t units = shape_.units;
        for (int64_t j = 0; j < units; j += kLanes<T>) {
            Vec<T> d = load(grad + j), f = load(saved + j), g = load(saved + units + j);
            Vec<T> gate = load(saved + 2 * units + j);
            Vec<T> first = d, through = g;
            if (s_.mode == kDefault) {
                first = d * (T(1) - gate);
                through = g - f;
            }
            store(maps + j, first * (T(1) - f * f));
            store(maps + units + j, d * gate * (T(1) - g * g));
            Vec<T> time = d * through * gate * (T(1) - gate);
            store(maps + 2 * units + j, time * elapsed);
            if (s_.elapsed) store(maps + 3 * units + j, time);
        }
    }

    void unsolve(const T* grad, const T* saved, T elapsed, T* maps) {
        std::fill_n(maps, shape_.units, T(0));
        for (int64_t j = 0; j < s_.units; ++j) {
            T f = saved[j], decayed = saved[shape_.units + j], a = s_.asymptote[j];
            maps[j] = -grad[j] * a * decayed * (T(1) - elapsed * std::fabs(f));
            asymptote_[j] += grad[j] * (T(1) - decayed * f);
            T sign = (s_.decay[j] > T(0)) - (s_.decay[j] < T(0));
            decay_[j] += grad[j] * a * f * decayed * elapsed * sign;
        }
    }

    void add_up() {
        if (!gathered_) return;
        for (int64_t i = 0; i <= s_.depth; ++i) {
            outer_.add(behind_[i].data(), shape_.height[i], before_[i], shape_.width[i], gathered_,
                       weights_[i].data(), biases_[i].data());
            before_[i].clear();
        }
        gathered_ = 0;
    }

    const Sweep<T>& s_;
    const Shape<T>& shape_;
    const std::vector<Panels<T>>& panels_;
    std::vector<std::vector<T>> weights_, biases_;  // sums of the gradients, padded
    // Of the gathered rows: gradients behind each layer, and where its inputs lie.
    std::vector<std::vector<T>> behind_;
    std::vector<std::vector<Rows<T>>> before_;
    std::vector<T> initial_, carried_, decay_, asymptote_;
    OuterProducts<T> outer_;
    int64_t gathered_ = 0;
};

// Each layer's weights for products with what comes from below, or (backwards) from above.
template <typename T>
std::vector<Panels<T>> packed(const Sweep<T>& s, const Shape<T>& shape, bool backwards) {
    std::vector<Panels<T>> panels(s.depth + 1);
    for (int64_t i = 0; i <= s.depth; ++i) {
        const T* weight = s.weights[i];
        int64_t columns = shape.columns[i];
        const int64_t* source = shape.source[i].data();
        auto entry = [=](int64_t n, int64_t k) {
            int64_t row = source[n];
            return row < 0 || k >= columns ? T(0) : weight[row * columns + k];
        };
        if (backwards)
            panels[i].pack(shape.height[i], shape.width[i],
                           [&](int64_t k, int64_t n) { return entry(k, n); });
        else
            panels[i].pack(columns, shape.height[i],
                           [&](int64_t k, int64_t n) { return entry(n, k); });
    }
    return panels;
}

template <typename T>
void forward(const Sweep<T>& s) {
    Shape<T> shape(s);
    auto panels = packed(s, shape, false);
    auto blocks = blocks_of(s);
#pragma omp parallel num_threads(s.threads)
    {
        Forward<T> worker(s, shape, panels);
#pragma omp for schedule(static)
        for (size_t i = 0; i < blocks.size(); ++i) worker.run(blocks[i]);
    }
}

template <typename T>
void backward(const Sweep<T>& s) {
    Shape<T> shape(s);
    auto panels = packed(s, shape, true);
    auto blocks = blocks_of(s);
    std::vector<std::unique_ptr<Backward<T>>> workers(s.threads);
#pragma omp parallel num_threads(s.threads)
    {
#pragma omp for schedule(static, 1)
        for (int64_t i = 0; i < s.threads; ++i) {
            // Made by the thread that fills it, and added up below in a fixed order: the same bytes every time.
            workers[i] = std::make_unique<Backward<T>>(s, shape, panels);
            int64_t begin = blocks.size() * i / s.threads, end = blocks.size() * (i + 1) / s.threads;
            for (int64_t b = begin; b < end; ++b) workers[i]->run(blocks[b]);
        }
        for (int64_t layer = 0; layer <= s.depth; ++layer) {
#pragma omp for schedule(static)
            for (int64_t n = 0; n < shape.height[layer]; ++n)
                for (auto& worker : workers) worker->give(layer, n);
        }
    }
    if (s.mode == kPure)
        for (auto& worker : workers) worker->give_solution();
}

}  // namespace

extern "C" {
int64_t cfc_padded_float(int64_t columns) { return padded<float>(columns); }
int64_t cfc_padded_double(int64_t columns) { return padded<double>(columns); }
void cfc_forward_float(const Sweep<float>* s) { forward(*s); }
void cfc_forward_double(const Sweep<double>* s) { forward(*s); }
void cfc_backward_float(const Sweep<float>* s) { backward(*s); }
void cfc_backward_double(const Sweep<double>* s) { backward(*s); }
}
