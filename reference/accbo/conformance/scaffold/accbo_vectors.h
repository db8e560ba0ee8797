/* Reads accbo's test vectors, evaluates their problems and writes results: nothing to change here.

   What a step may use, all of the one replicate at hand:

   d_x(), d_y(), iteration()         the sizes, and t
   option("momentum")                a hyper-parameter; choice("order") one that is a word
   state("x")                        an array of the state: the one before the step, to be overwritten
                                     by the one after it; state_size("x") is how long it is
   rows_of("hessian")                the rows of a part of the sample that has a leading axis (of two,
                                     such as (Q-1, B), the last counts fastest)
   row("hessian", k)                 one row of it; k = 0 of a part without leading axis
   number(row("power", 0), "power")  a number in it
   grad_x_upper(x, y, s, out)        derivatives at (x, y) on the sample s, written to out;
   grad_y_upper, grad_y_lower        out has the length of x or y
   hvp_lower(x, y, v, s, out)        the second derivative of G by y, times v
   cross_lower(x, y, v, s, out)      that by x and y, times v: as long as x
   vector(n)                         n zeros, freed by itself
   not_implemented()                 leaves the vector out

   "Vectors for any language", accbo vectors page, explains the files. Licence: accbo's, MIT. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- JSON ------------------------------------------------------------------------------------ */

typedef struct Value {
    char kind; /* { [ " n, and 0 for true, false and null */
    double number;
    char *text; /* of a string; of a member, its name */
    char *name;
    int count;
    struct Value **items;
    double *flat; /* of a list of numbers, lists of which are its rows */
    int depth, shape[8], size;
} Value;

static const char *json;

static void stop(const char *why, const char *what) {
    fprintf(stderr, "%s %s\n", why, what);
    exit(2);
}

static void *memory(size_t size) {
    void *made = calloc(size ? size : 1, 1);
    if (!made) stop("out of", "memory");
    return made;
}

static void blank(void) {
    while (*json == ' ' || *json == '\n' || *json == '\t' || *json == '\r' || *json == ',' || *json == ':')
        json++;
}

static char *string(void) {
    const char *end = ++json;
    while (*end && *end != '"') end += *end == '\\' && end[1] ? 2 : 1;
    char *made = memory((size_t)(end - json) + 1);
    memcpy(made, json, (size_t)(end - json));
    json = *end ? end + 1 : end;
    return made;
}

static Value *parse(void) {
    Value *made = memory(sizeof *made);
    blank();
    made->kind = *json;
    if (*json == '{' || *json == '[') {
        char close = *json == '{' ? '}' : ']';
        int room = 0;
        for (json++, blank(); *json && *json != close; blank()) {
            char *name = close == '}' ? string() : NULL;
            if (made->count == room) {
                room = 2 * room + 4;
                made->items = realloc(made->items, (size_t)room * sizeof *made->items);
                if (!made->items) stop("out of", "memory");
            }
            made->items[made->count] = parse();
            made->items[made->count++]->name = name;
        }
        if (*json) json++;
    } else if (*json == '"') {
        made->text = string();
    } else if (*json == '-' || (*json >= '0' && *json <= '9')) {
        char *end;
        made->kind = 'n';
        made->number = strtod(json, &end);
        json = end;
    } else {
        made->kind = 0;
        if (*json < 'a' || *json > 'z') stop("no JSON at", json);
        while (*json >= 'a' && *json <= 'z') json++;
    }
    return made;
}

static void drop(Value *value) {
    for (int i = 0; i < value->count; i++) drop(value->items[i]);
    free(value->items), free(value->text), free(value->name), free(value->flat), free(value);
}

/* A member, by a name that may have a dot in it or go through a member; or NULL. */
static Value *member(const Value *from, const char *name) {
    for (int i = 0; from && i < from->count; i++) {
        const char *own = from->items[i]->name;
        if (own && !strcmp(own, name)) return from->items[i];
        size_t length = own ? strlen(own) : 0;
        if (length && !strncmp(own, name, length) && name[length] == '.') {
            Value *inside = member(from->items[i], name + length + 1);
            if (inside) return inside;
        }
    }
    return NULL;
}

static void numbers(const Value *list, double *out, int *at) {
    if (list->kind == 'n') out[(*at)++] = list->number;
    for (int i = 0; i < list->count; i++) numbers(list->items[i], out, at);
}

static int how_many(const Value *list) {
    int found = list->kind == 'n';
    for (int i = 0; i < list->count; i++) found += how_many(list->items[i]);
    return found;
}

/* The list with its numbers in one row; shape and depth say how they were nested. */
static Value *array(Value *list) {
    if (!list->flat) {
        list->size = how_many(list);
        list->flat = memory((size_t)list->size * sizeof(double));
        int at = 0;
        numbers(list, list->flat, &at);
        for (Value *inside = list; inside->kind == '[' && list->depth < 8; inside = inside->items[0]) {
            list->shape[list->depth++] = inside->count;
            if (!inside->count) break;
        }
    }
    return list;
}

/* --- the vector at hand ---------------------------------------------------------------------- */

static struct {
    Value *vector, *problem, *sample, *first; /* first: the state it begins with */
    double **now;                             /* its arrays, by the order of its members */
    int axes, replicates, replicate, t, left_out;
} at;

static struct Scratch {
    struct Scratch *next;
    double numbers[];
} *scratch;

static double *vector(int n) {
    struct Scratch *made = memory(sizeof *made + (size_t)n * sizeof(double));
    made->next = scratch;
    scratch = made;
    return made->numbers;
}

static void free_vectors(void) {
    for (struct Scratch *next; scratch; scratch = next) next = scratch->next, free(scratch);
}

static Value *needed(const Value *from, const char *name) {
    Value *found = member(from, name);
    if (!found) stop("there is no", name);
    return found;
}

static int iteration(void) { return at.t; }
static void not_implemented(void) { at.left_out = 1; }
static double option(const char *name) { return needed(needed(at.vector, "algorithm"), name)->number; }

static const char *choice(const char *name) {
    Value *found = needed(needed(at.vector, "algorithm"), name);
    return found->text ? found->text : "";
}

static int state_size(const char *name) { return array(needed(at.first, name))->size / at.replicates; }

static double *state(const char *name) {
    for (int i = 0; i < at.first->count; i++)
        if (!strcmp(at.first->items[i]->name, name)) return at.now[i] + at.replicate * state_size(name);
    stop("the state has no", name);
    return NULL;
}

static int d_x(void) { return state_size("x"); }
static int d_y(void) { return state_size("y"); }

typedef struct Sample {
    const Value *part;
    int row;
} Sample;

static int rows_of(const char *part) {
    Value *fields = needed(at.sample, part);
    if (!fields->count) return 0;
    Value *field = array(fields->items[0]);
    int rows = field->depth - 1 - at.axes > 0 || field->count ? 1 : 0;
    for (int i = 0; i < field->depth - 1 - at.axes; i++) rows *= field->shape[i];
    return rows;
}

static Sample row(const char *part, int k) {
    Sample made = {needed(at.sample, part), k};
    return made;
}

/* The numbers of a field, or NULL where it is not in the sample; *n how many. */
static const double *field(Sample s, const char *name, int *n) {
    Value *found = member(s.part, name);
    if (!found) return NULL;
    array(found);
    *n = found->depth ? found->shape[found->depth - 1] : 0;
    return found->flat + (s.row * at.replicates + at.replicate) * *n;
}

static double number(Sample s, const char *name) {
    int n = 0;
    const double *found = field(s, name, &n);
    if (!found || !n) stop("the sample has no", name);
    return found[0];
}

/* --- the problems ---------------------------------------------------------------------------- */

static const double *datum(const char *name) { return array(needed(at.problem, name))->flat; }
static double constant(const char *name) { return needed(at.problem, name)->number; }
static int is(const char *kind) { return !strcmp(needed(at.problem, "kind")->text, kind); }

/* out += scale M v, or scale times M transposed v; M has n rows and m columns */
static void times(const double *M, int n, int m, const double *v, double scale, int turned, double *out) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++)
            if (turned) out[j] += scale * M[i * m + j] * v[i];
            else out[i] += scale * M[i * m + j] * v[j];
}

/* out += scale · what a noise of this name adds: its numbers, times u where u is given */
static void noise(const char *which, const char *name, Sample s, const double *u, double scale, double *out) {
    int n = 0;
    const double *drawn = field(s, name, &n);
    double size = drawn ? scale * needed(needed(at.problem, which), name)->number : 0;
    for (int i = 0; i < n && drawn; i++) out[i] += size * drawn[i] * (u ? u[i] : 1);
}

/* A term of a finite sum: its features, offsets, label and margin. */
typedef struct Term {
    const double *a, *c;
    double label, margin;
} Term;

static Term term(const char *level, int i, const double *x, const double *y) {
    char name[32];
    Term made;
    snprintf(name, sizeof name, "%s_features", level), made.a = datum(name) + i * d_y();
    snprintf(name, sizeof name, "%s_offsets", level), made.c = datum(name) + i * d_x();
    snprintf(name, sizeof name, "%s_labels", level), made.label = datum(name)[i];
    made.margin = 0;
    for (int k = 0; k < d_y(); k++) made.margin += made.a[k] * y[k];
    for (int k = 0; k < d_x(); k++) made.margin += made.c[k] * x[k];
    made.margin *= made.label;
    return made;
}

static void clear(double *out, int n) {
    for (int i = 0; i < n; i++) out[i] = 0;
}

/* out = ridge u − the mean over the batch of label σ(−margin) a, or c where by_x */
static void sum_gradient(const char *level, double ridge, const double *u, int by_x, const double *x,
                         const double *y, Sample s, double *out) {
    int batch = 0, n = by_x ? d_x() : d_y();
    const double *index = field(s, "index", &batch);
    for (int k = 0; k < n; k++) out[k] = ridge * u[k];
    for (int b = 0; b < batch; b++) {
        Term one = term(level, (int)index[b], x, y);
        double weight = one.label / (1 + exp(one.margin)) / batch;
        for (int k = 0; k < n; k++) out[k] -= weight * (by_x ? one.c : one.a)[k];
    }
}

static void sum_product(int by_x, const double *x, const double *y, const double *v, Sample s, double *out) {
    int batch = 0, n = by_x ? d_x() : d_y();
    const double *index = field(s, "index", &batch);
    for (int k = 0; k < n; k++) out[k] = by_x ? 0 : constant("lower_ridge") * v[k];
    for (int b = 0; b < batch; b++) {
        Term one = term("lower", (int)index[b], x, y);
        double e = exp(-fabs(one.margin)), along = 0;
        for (int k = 0; k < d_y(); k++) along += one.a[k] * v[k];
        for (int k = 0; k < n; k++) out[k] += e / ((1 + e) * (1 + e)) * along / batch * (by_x ? one.c : one.a)[k];
    }
}

/* u = y − Wx of the nonquadratic problem */
static double *shifted(const double *x, const double *y) {
    double *u = vector(d_y());
    memcpy(u, y, (size_t)d_y() * sizeof *u);
    times(datum("shift"), d_y(), d_x(), x, -1, 0, u);
    return u;
}

static double bent(double u) { return 1 / (cosh(u) * cosh(u)); }

static void scaled_upper(double *out, int n) {
    double c = member(at.problem, "upper_factor") ? constant("upper_factor") : 1;
    for (int i = 0; i < n; i++) out[i] *= c;
}

static void grad_x_upper(const double *x, const double *y, Sample s, double *out) {
    int n = d_x();
    clear(out, n);
    if (is("finite_sum")) sum_gradient("upper", constant("upper_ridge"), x, 1, x, y, s, out);
    for (int i = 0; i < n && is("relaxed_smooth"); i++)
        out[i] = sinh(constant("rate") * x[i]) / constant("rate") +
                 constant("ripple") * constant("frequency") * sin(constant("frequency") * x[i]);
    for (int i = 0; i < n && member(at.problem, "weights"); i++) out[i] = datum("weights")[i] * x[i];
    noise("noise_upper", "additive_x", s, NULL, 1, out);
    noise("noise_upper", "multiplicative_x", s, x, 1, out);
    scaled_upper(out, n);
}

static void grad_y_upper(const double *x, const double *y, Sample s, double *out) {
    int n = d_y();
    clear(out, n);
    double *zero = vector(n);
    if (is("finite_sum")) sum_gradient("upper", 0, zero, 0, x, y, s, out);
    for (int j = 0; j < n && !is("finite_sum"); j++) {
        double gap = y[j] - datum("target")[j];
        out[j] = is("quadratic") ? gap : tanh(gap);
    }
    noise("noise_upper", "additive_y", s, NULL, 1, out);
    noise("noise_upper", "multiplicative_y", s, y, 1, out);
    scaled_upper(out, n);
}

static void grad_y_lower(const double *x, const double *y, Sample s, double *out) {
    int n = d_y();
    clear(out, n);
    if (is("finite_sum")) {
        sum_gradient("lower", constant("lower_ridge"), y, 0, x, y, s, out);
        return;
    }
    double *Cx = vector(n);
    times(datum("coupling"), n, d_x(), x, 1, 0, Cx);
    times(datum("hessian"), n, n, y, 1, 0, out);
    for (int j = 0; j < n; j++) out[j] -= Cx[j];
    double *u = is("nonquadratic") ? shifted(x, y) : NULL;
    for (int j = 0; j < n && u; j++) out[j] += constant("strength") * tanh(u[j]);
    noise("noise_lower", "additive", s, NULL, 1, out);
    noise("noise_lower", "curvature", s, y, 1, out);
    noise("noise_lower", "coupling", s, Cx, -1, out);
}

static void hvp_lower(const double *x, const double *y, const double *v, Sample s, double *out) {
    int n = d_y();
    clear(out, n);
    if (is("finite_sum")) {
        sum_product(0, x, y, v, s, out);
        return;
    }
    times(datum("hessian"), n, n, v, 1, 0, out);
    double *u = is("nonquadratic") ? shifted(x, y) : NULL;
    for (int j = 0; j < n && u; j++) out[j] += constant("strength") * bent(u[j]) * v[j];
    noise("noise_lower", "curvature", s, v, 1, out);
}

static void cross_lower(const double *x, const double *y, const double *v, Sample s, double *out) {
    int n = d_y();
    clear(out, d_x());
    if (is("finite_sum")) {
        sum_product(1, x, y, v, s, out);
        return;
    }
    double *moved = vector(n), *weighed = vector(n);
    memcpy(moved, v, (size_t)n * sizeof *moved);
    noise("noise_lower", "coupling", s, v, 1, moved);
    times(datum("coupling"), n, d_x(), moved, -1, 1, out);
    double *u = is("nonquadratic") ? shifted(x, y) : NULL;
    for (int j = 0; j < n && u; j++) weighed[j] = constant("strength") * bent(u[j]) * v[j];
    if (u) times(datum("shift"), n, d_x(), weighed, -1, 1, out);
}

/* --- results --------------------------------------------------------------------------------- */

static void write_array(const Value *like, const double **numbers) {
    if (like->kind == 'n' || !like->kind) {
        if (isfinite(**numbers)) printf("%.17g", **numbers);
        else printf("null");
        (*numbers)++;
        return;
    }
    printf("[");
    for (int i = 0; i < like->count; i++) printf(i ? "," : ""), write_array(like->items[i], numbers);
    printf("]");
}

static void write_state(void) {
    printf("{");
    for (int i = 0, written = 0; i < at.first->count; i++) {
        if (!at.now[i]) continue;
        const double *from = at.now[i];
        printf(written++ ? ",\"%s\":" : "\"%s\":", at.first->items[i]->name);
        write_array(at.first->items[i], &from);
    }
    printf("}");
}

/* Whether the vector is among "order=simultaneous option=I …"; no word of a choice: all of it. */
static int covered(const char *conventions) {
    const Value *own = member(at.vector, "convention");
    char wanted[64], choice[32];
    for (int i = 0; own && i < own->count; i++) {
        snprintf(choice, sizeof choice, "%s=", own->items[i]->name);
        snprintf(wanted, sizeof wanted, "%s%s", choice, own->items[i]->text);
        const char *found = strstr(conventions, wanted);
        int whole = found && (found[strlen(wanted)] == ' ' || !found[strlen(wanted)]);
        if (strstr(conventions, choice) && !whole) return 0;
    }
    return 1;
}

/* One vector: the result of every step, or nothing where the step is not implemented. */
static int one(Value *problems, Value *given, const char *conventions, void (*step)(void), int written) {
    at.vector = given;
    if (!covered(conventions)) return 0;
    at.problem = NULL;
    for (int i = 0; i < problems->count; i++)
        if (!strcmp(problems->items[i]->name, needed(given, "problem")->text)) at.problem = problems->items[i];
    int single = !strcmp(needed(given, "kind")->text, "step");
    at.first = single ? needed(given, "state") : needed(given, "expected")->items[0];
    Value *replicates = needed(given, "replicates"), *samples = needed(given, "samples");
    at.axes = replicates->count, at.replicates = 1, at.left_out = 0;
    for (int i = 0; i < at.axes; i++) at.replicates *= (int)replicates->items[i]->number;
    at.t = single ? (int)needed(at.first, "iteration")->number : 1;
    at.now = memory((size_t)at.first->count * sizeof *at.now);
    for (int i = 0; i < at.first->count; i++) {
        if (at.first->items[i]->kind != '[') continue;
        Value *from = array(at.first->items[i]);
        at.now[i] = memory((size_t)from->size * sizeof(double));
        memcpy(at.now[i], from->flat, (size_t)from->size * sizeof(double));
    }
    for (int i = 0; i < samples->count && !at.left_out; i++, at.t++) {
        at.sample = samples->items[i];
        for (at.replicate = 0; at.replicate < at.replicates && !at.left_out; at.replicate++) step(), free_vectors();
        if (at.left_out) break;
        if (i) printf(",");
        else printf(written ? ",\n\"%s\":[" : "\"%s\":[", needed(given, "id")->text);
        write_state();
    }
    if (!at.left_out) printf("]");
    for (int i = 0; i < at.first->count; i++) free(at.now[i]);
    free(at.now);
    return !at.left_out;
}

static char *content(const char *path) {
    FILE *file = fopen(path, "rb");
    long size = 0;
    if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0) stop("cannot read", path);
    rewind(file);
    char *made = memory((size_t)size + 1);
    if (fread(made, 1, (size_t)size, file) != (size_t)size) stop("cannot read", path);
    fclose(file);
    return made;
}

static void write_conventions(const char *conventions) {
    char copy[256];
    snprintf(copy, sizeof copy, "%s", conventions);
    printf("\"conventions\":{");
    int written = 0;
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "), written++) {
        char *value = strchr(word, '=');
        if (!value) stop("expected NAME=VALUE, got", word);
        *value++ = 0;
        printf("%s\"%s\":[\"%s\"]", written ? "," : "", word, value);
    }
    printf("},\n");
}

/* What main returns: the results of step on all vectors of the files named, on standard output. */
static int accbo_results(const char *algorithm, const char *name, const char *conventions,
                         void (*step)(void), int argc, char **argv) {
    int written = 0, set = 0;
    if (argc < 2) stop("give the files of vectors:", "accbo vectors path says where they are");
    for (int f = 1; f < argc; f++) {
        char *text = content(argv[f]);
        json = text;
        Value *file = parse(), *own = member(file, "algorithm");
        if (strcmp(own && own->text ? own->text : "AccBO", algorithm)) stop("these are not vectors of it:", argv[f]);
        if (!set) {
            set = (int)needed(file, "set")->number;
            printf("{\"format\":\"accbo-results/1\",\"set\":%d,\"implementation\":\"%s\",\n", set, name);
            if (own) printf("\"algorithm\":\"%s\",\n", algorithm);
            if (*conventions) write_conventions(conventions);
            printf("\"results\":{\n");
        }
        Value *vectors = needed(file, "vectors");
        for (int i = 0; i < vectors->count; i++)
            written += one(needed(file, "problems"), vectors->items[i], conventions, step, written);
        drop(file);
        free(text);
    }
    printf("}}\n");
    if (!written) fprintf(stderr, "not implemented yet: step; no result was written\n");
    return written ? 0 : 2;
}
