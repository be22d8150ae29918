// Vectors of one SIMD register, and the few functions of them that a CfC needs.
//
// Only GCC's vector extensions (GCC and Clang have them): the same source compiles for AVX2, AVX-512, NEON and without
// SIMD. Functions follow IEEE arithmetic: NaN and infinity pass through.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

constexpr int kVectorBytes = 32;

template <typename T>
struct Lanes;

template <>
struct Lanes<float> {
    typedef float V __attribute__((vector_size(kVectorBytes)));
    typedef int32_t I __attribute__((vector_size(kVectorBytes)));
};

template <>
struct Lanes<double> {
    typedef double V __attribute__((vector_size(kVectorBytes)));
    typedef int64_t I __attribute__((vector_size(kVectorBytes)));
};

template <typename T>
using Vec = typename Lanes<T>::V;

template <typename T>
constexpr int kLanes = kVectorBytes / sizeof(T);

template <typename T>
inline Vec<T> load(const T* from) {
    Vec<T> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <typename T>
inline void store(T* to, Vec<T> v) {
    std::memcpy(to, &v, sizeof v);
}

template <typename T>
inline Vec<T> splat(T x) {
    return x - Vec<T>{};
}

inline Vec<float> absolute(Vec<float> x) {
    return (Vec<float>)((Lanes<float>::I)x & 0x7fffffff);
}

// exp(x) for x <= 0, within 1 unit in the last place or so; below -87 it is 0 rather than denormal.
//
// x = n log 2 + r with |r| <= log 2 / 2; the polynomial is Taylor's series of exp(r) to degree 7, whose remainder is
// below 1e-8 there; 2^n is made by writing the exponent.
inline Vec<float> exp_of_negative(Vec<float> x) {
    const Vec<float> rounding = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
    Vec<float> shifted = x * 1.44269504f + rounding;
    Vec<float> n = shifted - rounding;
    // log 2 in two parts, the first with few enough bits that n times it is exact.
    Vec<float> r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    Vec<float> p = splat(1.0f / 5040.0f);
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    Lanes<float>::I bits = (Lanes<float>::I)shifted << 23;
    Vec<float> scaled = (Vec<float>)((Lanes<float>::I)p + bits);
    // The comparison is false for NaN, which then passes through `scaled`.
    Vec<float> result = x < -87.0f ? splat(0.0f) : scaled;
    return x == x ? result : x;
}

// tanh: near 0 its odd series as x (1 + x^2 Q(x^2)) so that small values keep their relative accuracy, elsewhere
// by exp. Q is a least-maximum fit of (tanh(x)/x - 1)/x^2 on |x| <= 0.625,
// good to 5e-9 of tanh.
inline Vec<float> vector_tanh(Vec<float> x) {
    Vec<float> size = absolute(x);
    Vec<float> e = exp_of_negative(size * -2.0f);
    Vec<float> far = (1.0f - e) / (1.0f + e);
    far = x < 0.0f ? -far : far;
    Vec<float> square = x * x;
    Vec<float> q = splat(-5.70498686e-3f);
    q = q * square + 2.06390880e-2f;
    q = q * square + -5.37397154e-2f;
    q = q * square + 1.33314416e-1f;
    q = q * square + -3.33332807e-1f;
    Vec<float> near = x + x * (square * q);
    return size < 0.625f ? near : far;
}

// 1 / (1 + exp(-x)), with exp of the negative of |x| only.
inline Vec<float> vector_sigmoid(Vec<float> x) {
    Vec<float> e = exp_of_negative(-absolute(x));
    Vec<float> positive = 1.0f / (1.0f + e);
    return x < 0.0f ? e * positive : positive;
}

template <typename F>
inline Vec<double> lane_by_lane(Vec<double> x, F f) {
    for (int lane = 0; lane < kLanes<double>; ++lane) x[lane] = f(x[lane]);
    return x;
}

// Double precision is for checks: the standard library's functions, one lane at a time.
inline Vec<double> absolute(Vec<double> x) {
    return lane_by_lane(x, [](double v) { return std::fabs(v); });
}
inline Vec<double> exp_of_negative(Vec<double> x) {
    return lane_by_lane(x, [](double v) { return std::exp(v); });
}
inline Vec<double> vector_tanh(Vec<double> x) {
    return lane_by_lane(x, [](double v) { return std::tanh(v); });
}
inline Vec<double> vector_sigmoid(Vec<double> x) {
    return lane_by_lane(x, [](double v) {
        double e = std::exp(-std::fabs(v));
        return v < 0 ? e / (1 + e) : 1 / (1 + e);
    });
}
