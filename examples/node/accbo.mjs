// AccBO in JavaScript, written from VECTORS.md alone: reads the test vectors, writes results.
//
//   node accbo.mjs "$(accbo vectors path)" results.json && accbo vectors verify results.json
//
// All numbers of JavaScript are float64; the vectors of float32 pass in it as well.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

// --- vectors of numbers ------------------------------------------------------------------------

const add = (a, b) => a.map((value, i) => value + b[i]);
const sub = (a, b) => a.map((value, i) => value - b[i]);
const mul = (a, b) => a.map((value, i) => value * b[i]);
const scale = (c, a) => a.map((value) => c * value);
const dot = (a, b) => a.reduce((total, value, i) => total + value * b[i], 0);
const apply = (matrix, v) => matrix.map((row) => dot(row, v));
const applyTransposed = (matrix, v) => matrix[0].map((_, j) => matrix.reduce((t, row, i) => t + row[j] * v[i], 0));
const mean = (list) => scale(1 / list.length, list.reduce(add));

// --- problems: F and G by their derivatives, on one sample --------------------------------------

const sech2 = (u) => {
  const t = Math.tanh(u);
  return (1 - t) * (1 + t);
};
const sigmoid = (t) => (t < 0 ? Math.exp(t) / (1 + Math.exp(t)) : 1 / (1 + Math.exp(-t)));
const sigmoidSlope = (t) => {
  const small = Math.exp(-Math.abs(t));
  return small / ((1 + small) * (1 + small));
};

// a field that is not in the sample has scale 0 in the problem
const noise = (factor, field, variable) =>
  field === undefined ? variable.map(() => 0) : scale(factor, mul(field, variable));
const ones = (like) => like.map(() => 1);

function coupled(p, gradients) {
  const { noise_upper: above, noise_lower: below } = p;
  const shift = (x, y) => sub(y, apply(p.shift, x));
  const strength = p.kind === "nonquadratic" ? p.strength : 0;
  return {
    gradXUpper: (x, y, s) =>
      [
        gradients.x(x),
        noise(above.additive_x, s.additive_x, ones(x)),
        noise(above.multiplicative_x, s.multiplicative_x, x),
      ].reduce(add),
    gradYUpper: (x, y, s) =>
      [
        gradients.y(y),
        noise(above.additive_y, s.additive_y, ones(y)),
        noise(above.multiplicative_y, s.multiplicative_y, y),
      ].reduce(add),
    gradYLower: (x, y, s) => {
      const Cx = apply(p.coupling, x);
      const terms = [
        sub(apply(p.hessian, y), Cx),
        noise(below.additive, s.additive, ones(y)),
        noise(below.curvature, s.curvature, y),
        scale(-1, noise(below.coupling, s.coupling, Cx)),
      ];
      if (strength) terms.push(scale(strength, shift(x, y).map(Math.tanh)));
      return terms.reduce(add);
    },
    hvpLower: (x, y, v, s) => {
      const terms = [apply(p.hessian, v), noise(below.curvature, s.curvature, v)];
      if (strength) terms.push(scale(strength, mul(shift(x, y).map(sech2), v)));
      return terms.reduce(add);
    },
    crossLower: (x, y, v, s) => {
      const noisy = add(v, noise(below.coupling, s.coupling, v));
      const terms = [scale(-1, applyTransposed(p.coupling, noisy))];
      if (strength) {
        const weighted = scale(-strength, mul(shift(x, y).map(sech2), v));
        terms.push(applyTransposed(p.shift, weighted));
      }
      return terms.reduce(add);
    },
  };
}

function finiteSum(p) {
  const level = (name) => ({
    a: p[`${name}_features`],
    c: p[`${name}_offsets`],
    b: p[`${name}_labels`],
  });
  const [above, below] = [level("upper"), level("lower")];
  const margin = (of, i, x, y) => of.b[i] * (dot(of.a[i], y) + dot(of.c[i], x));
  const pull = (of, i, x, y) => -of.b[i] * sigmoid(-margin(of, i, x, y));
  const over = (s, term) => mean(s.index.map(term));
  const bend = (i, x, y, v) => sigmoidSlope(margin(below, i, x, y)) * dot(below.a[i], v);
  return {
    gradXUpper: (x, y, s) =>
      add(scale(p.upper_ridge, x), over(s, (i) => scale(pull(above, i, x, y), above.c[i]))),
    gradYUpper: (x, y, s) => over(s, (i) => scale(pull(above, i, x, y), above.a[i])),
    gradYLower: (x, y, s) =>
      add(scale(p.lower_ridge, y), over(s, (i) => scale(pull(below, i, x, y), below.a[i]))),
    hvpLower: (x, y, v, s) =>
      add(scale(p.lower_ridge, v), over(s, (i) => scale(bend(i, x, y, v), below.a[i]))),
    crossLower: (x, y, v, s) => over(s, (i) => scale(bend(i, x, y, v), below.c[i])),
  };
}

const KINDS = {
  quadratic: (p) => coupled(p, { x: (x) => mul(p.weights, x), y: (y) => sub(y, p.target) }),
  nonquadratic: (p) =>
    coupled(p, { x: (x) => mul(p.weights, x), y: (y) => sub(y, p.target).map(Math.tanh) }),
  relaxed_smooth: (p) =>
    coupled(p, {
      x: (x) =>
        x.map(
          (value) =>
            Math.sinh(p.rate * value) / p.rate +
            p.ripple * p.frequency * Math.sin(p.frequency * value),
        ),
      y: (y) => sub(y, p.target).map(Math.tanh),
    }),
  finite_sum: finiteSum,
};

function problem(p) {
  const made = KINDS[p.kind](p);
  return {
    ...made,
    gradXUpper: (...at) => scale(p.upper_factor, made.gradXUpper(...at)),
    gradYUpper: (...at) => scale(p.upper_factor, made.gradYUpper(...at)),
  };
}

// --- AccBO ------------------------------------------------------------------------------------------

// the samples of the factors of the term q, factor 1 first
function factors(hessian, sampling, Q, q) {
  const row = (j) => (sampling === "independent" ? ((j - 1) * (2 * Q - j)) / 2 + q - j : j - 1);
  return Array.from({ length: q }, (_, j) => hessian[row(j + 1)]);
}

function series(product, v, sample, a) {
  const { neumann_terms: Q, neumann_scale: l, neumann_sampling: sampling } = a;
  const shrink = (p, zeta) => sub(p, scale(1 / l, product(p, zeta)));
  const term = (q) => factors(sample.hessian, sampling, Q, q).reduce(shrink, v);
  if (sampling === "randomised") return scale(Q / l, term(sample.power.power[0]));
  let total = v;
  if (sampling === "independent") {
    for (let q = 1; q < Q; q++) total = add(total, term(q));
  } else {
    let p = v;
    for (let q = 1; q < Q; q++) {
      p = shrink(p, sample.hessian[q - 1]);
      total = add(total, p);
    }
  }
  return scale(1 / l, total);
}

function hypergradient(f, x, y, sample, a) {
  const v = f.gradYUpper(x, y, sample.upper);
  const inverse = series((u, zeta) => f.hvpLower(x, y, u, zeta), v, sample, a);
  return sub(f.gradXUpper(x, y, sample.upper), f.crossLower(x, y, inverse, sample.cross));
}

function lowerSteps(f, x, y, yPrevious, samples, a) {
  for (const sample of samples) {
    const z = add(y, scale(a.lower_momentum, sub(y, yPrevious)));
    yPrevious = y;
    y = sub(z, scale(a.lower_step_size, f.gradYLower(x, z, sample)));
  }
  return y;
}

function lowerLevel(f, s, samples, a) {
  const yPrevious = a.period === null ? s.y_previous : s.y; // Option II restarts the pair
  const y = lowerSteps(f, s.x, s.y, yPrevious, samples, a);
  return [y, add(scale(1 - a.averaging, s.y_average), scale(a.averaging, y))];
}

function normalisedStep(x, m, eta) {
  const largest = Math.max(...m.map(Math.abs));
  if (largest === 0) return x;
  const scaled = m.map((value) => value / largest); // the square of 1e-200 underflows
  return sub(x, scale(eta / Math.sqrt(dot(scaled, scaled)), scaled));
}

function after(s, a, y, yAverage, m) {
  return {
    x: normalisedStep(s.x, m, a.upper_step_size),
    x_previous: s.x,
    y,
    y_previous: s.y,
    y_average: yAverage,
    y_average_previous: s.y_average,
    momentum: m,
  };
}

function init(f, a, x, yInit, start) {
  const y = lowerSteps(f, x, yInit, yInit, start.warm_start, a);
  const s = { x, y, y_previous: y, y_average: y };
  const [yNext, yAverage] = lowerLevel(f, s, start.first.lower, a);
  const point = a.order === "sequential" ? yAverage : y;
  const m = mean(start.first.upper.map((sample) => hypergradient(f, x, point, sample, a)));
  return after(s, a, yNext, yAverage, m);
}

function step(f, a, s, sample) {
  const [y, yAverage] = lowerLevel(f, s, sample.lower, a);
  const [now, before] =
    a.order === "sequential" ? [yAverage, s.y_average] : [s.y_average, s.y_average_previous];
  const h = hypergradient(f, s.x, now, sample, a);
  const hOld = hypergradient(f, s.x_previous, before, sample, a);
  return after(s, a, y, yAverage, add(h, scale(a.momentum, sub(s.momentum, hOld))));
}

// --- vectors ------------------------------------------------------------------------------------------

// `array` at the replicate `at`, behind `rows` axes
const pick = (array, rows, at) =>
  rows === 0 ? at.reduce((part, i) => part[i], array) : array.map((row) => pick(row, rows - 1, at));

// one part of a sample as a list of samples, one a row
function byRow(part, at) {
  const fields = Object.entries(part).map(([name, array]) => [name, pick(array, 1, at)]);
  return fields[0][1].map((_, i) => Object.fromEntries(fields.map(([name, rows]) => [name, rows[i]])));
}

const single = (part, at) =>
  Object.fromEntries(Object.entries(part).map(([name, array]) => [name, pick(array, 0, at)]));

const sampleAt = ({ upper, cross, hessian, power, lower }, at) => ({
  upper: single(upper, at),
  cross: single(cross, at),
  hessian: byRow(hessian, at),
  power: single(power, at),
  lower: lower && byRow(lower, at),
});

const rowOf = (part, i) =>
  Object.fromEntries(Object.entries(part).map(([name, array]) => [name, array[i]]));

function startAt({ warm_start, first: { lower, ...rest } }, at) {
  const count = Object.values(rest.upper)[0].length;
  const one = (i) =>
    sampleAt(Object.fromEntries(Object.entries(rest).map(([k, part]) => [k, rowOf(part, i)])), at);
  const upper = Array.from({ length: count }, (_, i) => one(i));
  return { warm_start: byRow(warm_start, at), first: { upper, lower: byRow(lower, at) } };
}

function runReplicate(f, vector, at) {
  const a = vector.algorithm;
  const states = [];
  let s;
  if (vector.kind === "step") {
    const { iteration, ...arrays } = vector.state;
    s = single(arrays, at);
  } else {
    s = init(f, a, pick(vector.x, 0, at), pick(vector.y, 0, at), startAt(vector.start, at));
    states.push(s);
  }
  for (const sample of vector.samples) {
    s = step(f, a, s, sampleAt(sample, at));
    states.push(s);
  }
  return states;
}

// the replicates' states as one, nested as the replicates are
function run(f, vector, shape = vector.replicates, at = []) {
  if (shape.length === 0) return runReplicate(f, vector, at);
  const runs = Array.from({ length: shape[0] }, (_, i) => run(f, vector, shape.slice(1), [...at, i]));
  return runs[0].map((state, t) =>
    Object.fromEntries(Object.keys(state).map((name) => [name, runs.map((r) => r[t][name])])),
  );
}

const FORMATS = ["accbo-vectors/1", "accbo-vectors/2"];

function main(folder, target) {
  const results = {};
  let set = 1;
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".json"))) {
    const document = JSON.parse(readFileSync(join(folder, file), "utf8"));
    if (!FORMATS.includes(document.format)) throw new Error(`${file}: expected ${FORMATS.join(" or ")}`);
    set = document.set;
    for (const vector of document.vectors) {
      results[vector.id] = run(problem(document.problems[vector.problem]), vector);
    }
  }
  const about = { format: "accbo-results/1", set, implementation: "examples/node/accbo.mjs" };
  writeFileSync(target, JSON.stringify({ ...about, results }));
  console.log(`${Object.keys(results).length} results in ${target}`);
}

if (process.argv.length !== 4) {
  console.error("usage: node accbo.mjs VECTORS_FOLDER RESULTS.json");
  process.exit(2);
}
main(process.argv[2], process.argv[3]);
