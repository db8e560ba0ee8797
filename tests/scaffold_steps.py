"""Right steps of all nine algorithms, as a user would write them into a scaffold."""
# ruff: noqa: E501

from __future__ import annotations

HELP = '''
def unit(m):
    largest = abs(m).max()
    return m if largest == 0 else m / largest / ((m / largest) ** 2).sum() ** 0.5


def average(values):
    values = list(values)
    return sum(values) / len(values)


def inverse(problem, options, x, y, v, factors):
    power = total = v
    for zeta in factors:
        power = power - problem.hvp_lower(x, y, power, zeta) / options.neumann_scale
        total = total + power
    return total / options.neumann_scale


def drawn(problem, options, x, y, sample):
    power = problem.grad_y_upper(x, y, sample.upper)
    for zeta in list(rows(sample.hessian))[: int(sample.power["power"][0])]:
        power = power - problem.hvp_lower(x, y, power, zeta) / options.neumann_scale
    z = options.neumann_terms / options.neumann_scale * power
    return problem.grad_x_upper(x, y, sample.upper) - problem.cross_lower(x, y, z, sample.cross)


def gradient(problem, options, x, y, upper, cross, factors):
    z = inverse(problem, options, x, y, problem.grad_y_upper(x, y, upper), factors)
    return problem.grad_x_upper(x, y, upper) - problem.cross_lower(x, y, z, cross)


def each(batch):
    """The samples of a batch of VRBO."""
    factors = [list(rows(factor)) for factor in rows(batch.hessian)]
    parts = zip(rows(batch.upper), rows(batch.cross), rows(batch.lower))
    for i, (upper, cross, lower) in enumerate(parts):
        yield upper, cross, [factor[i] for factor in factors], lower


def at(tree, i):
    return tree._replace(**{name: {k: v[i] for k, v in part.items()}
                            for name, part in tree._asdict().items()})


def saga(table, index, new):
    estimate = new - table.stored[index] + table.mean
    stored = table.stored.copy()
    stored[index] = new
    return estimate, table._replace(stored=stored, mean=table.mean + (new - table.stored[index]) / len(stored))
'''
SERIES = """
old = gradient(problem, options, s.x_previous, s.y_average_previous, sample.upper, sample.cross, rows(sample.hessian))
new = gradient(problem, options, s.x, s.y_average, sample.upper, sample.cross, rows(sample.hessian))
s.momentum = new + options.momentum * (s.momentum - old)
z = s.y + options.lower_momentum * (s.y - s.y_previous)
(pi,) = rows(sample.lower)
y = z - options.lower_step_size * problem.grad_y_lower(s.x, z, pi)
s.x_previous, s.y_previous, s.y_average_previous = s.x, s.y, s.y_average
s.y_average = (1 - options.averaging) * s.y_average + options.averaging * y
s.x, s.y = s.x - options.upper_step_size * unit(s.momentum), y
"""
LINEAR = """
direction = problem.grad_x_upper(s.x, s.y, sample.upper) - problem.cross_lower(s.x, s.y, s.z, sample.cross)
m = options.momentum * s.momentum + (1 - options.momentum) * direction
v = problem.grad_y_upper(s.x, s.y, sample.upper_y)
z = s.z - options.linear_step_size * (problem.hvp_lower(s.x, s.y, s.z, sample.hessian) - v)
y = s.y
for pi in rows(sample.lower):
    y = y - options.lower_step_size * problem.grad_y_lower(s.x, y, pi)
s.x, s.y, s.z, s.momentum = s.x - options.upper_step_size * {step}, y, z, m
"""
FILLED = {
    "AccBO": SERIES,
    "SLIP": LINEAR.format(step="unit(m)"),
    "BOREP": LINEAR.format(step="unit(m)"),
    "MASOBA": LINEAR.format(step="s.momentum"),
    "SABA": """
(i,) = rows(sample.lower)
j, names = sample.upper, list(i)
a, b = int(i[names[0]][0]), int(j[names[0]][0])
t = s.tables
G_y, of_G_y = saga(t.grad_y_lower, a, problem.grad_y_lower(s.x, s.y, i))
Hz, of_Hz = saga(t.hvp_lower, a, problem.hvp_lower(s.x, s.y, s.z, i))
Jz, of_Jz = saga(t.cross_lower, a, problem.cross_lower(s.x, s.y, s.z, i))
F_y, of_F_y = saga(t.grad_y_upper, b, problem.grad_y_upper(s.x, s.y, j))
F_x, of_F_x = saga(t.grad_x_upper, b, problem.grad_x_upper(s.x, s.y, j))
s.x = s.x - options.upper_step_size * (F_x - Jz)
s.y = s.y - options.lower_step_size * G_y
s.z = s.z - options.linear_step_size * (Hz - F_y)
s.tables = type(t)(of_G_y, of_Hz, of_Jz, of_F_y, of_F_x)
""",
    "SUSTAIN": """
size, eta = (options.offset + s.t) ** (-1 / 3), (options.offset + s.t - 1) ** (-2 / 3)
(pi,) = rows(sample.lower)
below = problem.grad_y_lower(s.x, s.y, pi)
u = below + (1 - options.lower_averaging * eta) * (
    s.lower_momentum - problem.grad_y_lower(s.x_previous, s.y_previous, pi))
m = drawn(problem, options, s.x, s.y, sample) + (1 - options.upper_averaging * eta) * (
    s.momentum - drawn(problem, options, s.x_previous, s.y_previous, sample))
s.x_previous, s.y_previous, s.lower_momentum, s.momentum = s.x, s.y, u, m
s.x, s.y = s.x - options.upper_step_size * size * m, s.y - options.lower_step_size * size * u
s.t += 1
""",
    "TTSA": """
b = options.lower_step_size * (options.offset + s.t) ** (-2 / 5)
a = options.upper_step_size * (options.offset + s.t) ** (-3 / 5)
(pi,) = rows(sample.lower)
s.y = s.y - b * problem.grad_y_lower(s.x, s.y, pi)
s.x = s.x - a * drawn(problem, options, s.x, s.y, sample)
s.t += 1
""",
    "StocBiO": """
for batch in rows(sample.lower):
    s.y = s.y - options.lower_step_size * average(problem.grad_y_lower(s.x, s.y, pi) for pi in rows(batch))
power = total = average(problem.grad_y_upper(s.x, s.y, xi) for xi in rows(sample.upper))
for batch in rows(sample.hessian):
    power = power - average(problem.hvp_lower(s.x, s.y, power, zeta) for zeta in rows(batch)) / options.neumann_scale
    total = total + power
z = total / options.neumann_scale
direct = average(problem.grad_x_upper(s.x, s.y, xi) for xi in rows(sample.upper))
cross = average(problem.cross_lower(s.x, s.y, z, zeta) for zeta in rows(sample.cross))
s.x = s.x - options.upper_step_size * (direct - cross)
""",
    "VRBO": """
def means(x, y, batch):
    samples = list(each(batch))
    u = average(problem.grad_y_lower(x, y, lower) for *_, lower in samples)
    return u, average(gradient(problem, options, x, y, *rest) for *rest, _ in samples)

if list(rows(sample.large.upper)):
    s.lower_estimate, s.estimate = means(s.x, s.y, sample.large)
x, y = s.x - options.upper_step_size * s.estimate, s.y
old = (s.x, s.y)
for i in range(options.lower_steps + 1):
    new_u, new_v = means(x, y, at(sample.inner, i))
    old_u, old_v = means(*old, at(sample.inner, i))
    s.lower_estimate = s.lower_estimate + new_u - old_u
    s.estimate = s.estimate + new_v - old_v
    old, s.y, y = (x, y), y, y - options.lower_step_size * s.lower_estimate
s.x = x
""",
}


C_HELP = """
static double *inverse(const double *x, const double *y, double *v, int terms) {
    double *total = vector(d_y()), *power = vector(d_y()), *product = vector(d_y());
    for (int j = 0; j < d_y(); j++) total[j] = power[j] = v[j];
    for (int q = 1; q < terms; q++) {
        hvp_lower(x, y, power, row("hessian", q - 1), product);
        for (int j = 0; j < d_y(); j++)
            power[j] -= product[j] / option("neumann_scale"), total[j] += power[j];
    }
    for (int j = 0; j < d_y(); j++) total[j] /= option("neumann_scale"), power[j] /= option("neumann_scale");
    return DRAWN ? power : total;
}

static double *gradient(const double *x, const double *y, int terms, double times) {
    double *v = vector(d_y()), *out = vector(d_x()), *cross = vector(d_x());
    grad_y_upper(x, y, row("upper", 0), v);
    grad_x_upper(x, y, row("upper", 0), out);
    cross_lower(x, y, inverse(x, y, v, terms), row("cross", 0), cross);
    for (int i = 0; i < d_x(); i++) out[i] -= times * cross[i];
    return out;
}
"""
C_FILLED = {
    "AccBO": """
    int Q = (int)option("neumann_terms");
    double *old = gradient(x_previous, y_average_previous, Q, 1), *new = gradient(x, y_average, Q, 1);
    double *z = vector(d_y()), *slope = vector(d_y()), largest = 0, length = 0;
    for (int j = 0; j < d_y(); j++) z[j] = y[j] + option("lower_momentum") * (y[j] - y_previous[j]);
    grad_y_lower(x, z, row("lower", 0), slope);
    for (int j = 0; j < d_y(); j++) {
        y_previous[j] = y[j], y_average_previous[j] = y_average[j];
        y[j] = z[j] - option("lower_step_size") * slope[j];
        y_average[j] = (1 - option("averaging")) * y_average[j] + option("averaging") * y[j];
    }
    for (int i = 0; i < d_x(); i++) momentum[i] = new[i] + option("momentum") * (momentum[i] - old[i]);
    for (int i = 0; i < d_x(); i++) largest = fmax(largest, fabs(momentum[i]));
    for (int i = 0; i < d_x(); i++) length += momentum[i] / largest * (momentum[i] / largest);
    for (int i = 0; i < d_x(); i++) {
        x_previous[i] = x[i];
        if (largest > 0) x[i] -= option("upper_step_size") * (momentum[i] / largest / sqrt(length));
    }
""",
    "TTSA": """
    int q = (int)number(row("power", 0), "power");
    double w = option("offset") + iteration(), *slope = vector(d_y()), *h;
    grad_y_lower(x, y, row("lower", 0), slope);
    for (int j = 0; j < d_y(); j++) y[j] -= option("lower_step_size") * pow(w, -0.4) * slope[j];
    h = gradient(x, y, q + 1, option("neumann_terms"));
    for (int i = 0; i < d_x(); i++) x[i] -= option("upper_step_size") * pow(w, -0.6) * h[i];
""",
    "StocBiO": """
    int D = (int)option("lower_steps"), S = (int)option("lower_batch"), B = (int)option("upper_batch");
    double *one = vector(d_y()), *mean = vector(d_y()), *power = vector(d_y()), *z = vector(d_y());
    double *h = vector(d_x()), *part = vector(d_x());
    for (int k = 0; k < D; k++) {
        for (int j = 0; j < d_y(); j++) mean[j] = 0;
        for (int s = 0; s < S; s++) {
            grad_y_lower(x, y, row("lower", k * S + s), one);
            for (int j = 0; j < d_y(); j++) mean[j] += one[j] / S;
        }
        for (int j = 0; j < d_y(); j++) y[j] -= option("lower_step_size") * mean[j];
    }
    for (int b = 0; b < B; b++) {
        grad_y_upper(x, y, row("upper", b), one);
        for (int j = 0; j < d_y(); j++) power[j] += one[j] / B;
    }
    for (int q = 0, Q = rows_of("hessian") / B; q <= Q; q++) {
        for (int j = 0; j < d_y(); j++) z[j] += power[j] / option("neumann_scale"), mean[j] = 0;
        for (int b = 0; b < B && q < Q; b++) {
            hvp_lower(x, y, power, row("hessian", q * B + b), one);
            for (int j = 0; j < d_y(); j++) mean[j] += one[j] / B;
        }
        for (int j = 0; j < d_y(); j++) power[j] -= mean[j] / option("neumann_scale");
    }
    for (int b = 0; b < B; b++) {
        grad_x_upper(x, y, row("upper", b), part);
        for (int i = 0; i < d_x(); i++) h[i] += part[i] / B;
        cross_lower(x, y, z, row("cross", b), part);
        for (int i = 0; i < d_x(); i++) h[i] -= part[i] / B;
    }
    for (int i = 0; i < d_x(); i++) x[i] -= option("upper_step_size") * h[i];
""",
    "SABA": """
    int i = (int)number(row("lower", 0), "index"), j = (int)number(row("upper", 0), "index");
    Sample at_i = row("lower", 0), at_j = row("upper", 0);
    double *G = vector(d_y()), *H = vector(d_y()), *J = vector(d_x()), *F = vector(d_y()), *D = vector(d_x());
    grad_y_lower(x, y, at_i, G), hvp_lower(x, y, z, at_i, H), cross_lower(x, y, z, at_i, J);
    grad_y_upper(x, y, at_j, F), grad_x_upper(x, y, at_j, D);
    saga(tables_grad_y_lower_stored, tables_grad_y_lower_mean, state_size("tables.grad_y_lower.stored"), d_y(), i, G);
    saga(tables_hvp_lower_stored, tables_hvp_lower_mean, state_size("tables.hvp_lower.stored"), d_y(), i, H);
    saga(tables_cross_lower_stored, tables_cross_lower_mean, state_size("tables.cross_lower.stored"), d_x(), i, J);
    saga(tables_grad_y_upper_stored, tables_grad_y_upper_mean, state_size("tables.grad_y_upper.stored"), d_y(), j, F);
    saga(tables_grad_x_upper_stored, tables_grad_x_upper_mean, state_size("tables.grad_x_upper.stored"), d_x(), j, D);
    for (int k = 0; k < d_x(); k++) x[k] -= option("upper_step_size") * (D[k] - J[k]);
    for (int k = 0; k < d_y(); k++) {
        y[k] -= option("lower_step_size") * G[k];
        z[k] -= option("linear_step_size") * (H[k] - F[k]);
    }
""",
}
C_SAGA = """
static void saga(double *stored, double *mean, int size, int d, int i, double *new) {
    for (int k = 0; k < d; k++) {
        double change = new[k] - stored[i * d + k];
        stored[i * d + k] = new[k], new[k] = change + mean[k], mean[k] += change / (size / d);
    }
}
"""
