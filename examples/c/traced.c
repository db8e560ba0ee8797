/* A loop in C whose trace `accbo trace verify` judges: normalised recursive momentum, the upper
 * level of AccBO, on h(x; s) = tanh(x) + s x with one fresh s an iteration.
 *
 *     cc -O2 -o traced traced.c -lm && ./traced run.jsonl && accbo trace verify run.jsonl
 *
 * The directions are those of docs/traces.md; a vector of D entries is one leaf.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define D 3000
#define BLOCK 1024
#define STEPS 20
#define BETA 0.75
#define ETA 0.0625

static uint64_t mix(uint64_t w) {
    w = (w ^ (w >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    w = (w ^ (w >> 27)) * UINT64_C(0x94D049BB133111EB);
    return w ^ (w >> 31);
}

static double number(uint64_t seed, uint64_t stream, uint64_t index) {
    const uint64_t golden = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t w = mix(mix(seed + golden * (stream + 1)) + golden * (index + 1));
    double size = 0.5 + (double)(w >> 41) / 8388608.0;
    return w & 1 ? -size : size;
}

/* "name":[norm, p, p'] of a vector like x, seed 0 */
static void print_vector(FILE *file, const char *name, const double *v) {
    double square = 0;
    for (int i = 0; i < D; i++) square += v[i] * v[i];
    fprintf(file, "\"%s\":[%.17g", name, sqrt(square));
    for (int k = 0; k < 2; k++) {
        double sum = 0;
        for (int b = 0; b * BLOCK < D; b++) {
            double inner = 0; /* a block at a time: errors do not add up over all of D */
            for (int j = 0; j < BLOCK && b * BLOCK + j < D; j++)
                inner += v[b * BLOCK + j] * number(0, 4 * k + 1, j);
            sum += number(0, 4 * k, b) * inner;
        }
        fprintf(file, ",%.17g", sum);
    }
    fputs("]", file);
}

static void h(double *out, const double *x, double s) {
    for (int i = 0; i < D; i++) out[i] = tanh(x[i]) + s * x[i];
}

int main(int count, char **arguments) {
    static double x[D], x_old[D], m[D], new[D], old[D];
    FILE *file = fopen(count > 1 ? arguments[1] : "run.jsonl", "w");
    if (!file) return 1;
    fprintf(file,
            "{\"format\":\"accbo-trace\",\"version\":1,\"algorithm\":\"AccBO\","
            "\"constants\":{\"momentum\":%g,\"upper_step_size\":%g},\"dtype\":\"float64\","
            "\"seed\":0,\"directions\":2,\"x\":[%d]}\n",
            BETA, ETA, D);
    for (int i = 0; i < D; i++) x[i] = number(7, 0, i);
    for (int t = 0; t < STEPS; t++) {
        double s = 0.3 * number(8, 0, t), square = 0;
        fprintf(file, "{\"t\":%d,", t);
        print_vector(file, "x", x);
        h(new, x, s);
        fprintf(file, ",\"new\":{\"upper_sample\":%d,", t + 1);
        print_vector(file, "h", new);
        h(old, x_old, s);
        if (t) {
            fprintf(file, "},\"old\":{\"upper_sample\":%d,", t + 1);
            print_vector(file, "h", old);
        }
        for (int i = 0; i < D; i++) m[i] = t ? new[i] + BETA * (m[i] - old[i]) : new[i];
        fputs("},", file);
        print_vector(file, "momentum", m);
        fputs("}\n", file);
        for (int i = 0; i < D; i++) square += m[i] * m[i];
        for (int i = 0; i < D; i++) {
            x_old[i] = x[i];
            x[i] -= ETA * m[i] / sqrt(square);
        }
    }
    return fclose(file) != 0;
}
