"""AccBO as a solver of benchopt's benchmark of bilevel optimisation.

The benchmark hands over two JAX functions of (inner, outer, start, batch_size), which take the
rows from ``start`` on. A sample is the number of a block of rows.
"""

from benchopt import BaseSolver, safe_import_context
from benchopt.stopping_criterion import SufficientProgressCriterion

with safe_import_context() as import_ctx:
    import jax

    import accbo
    from accbo import problems


class Solver(BaseSolver):
    """One run of AccBO; ``eval_freq`` iterations between two looks at the objective."""

    name = "AccBO"
    requirements = ["pip:accbo", "pip:jax"]
    stopping_criterion = SufficientProgressCriterion(patience=100, strategy="callback")
    parameters = {
        "step_size": [0.1],
        "outer_step_size": [0.01],
        "momentum": [0.99],
        "terms": [10],
        "scale": [10.0],
        "batch_size": [64],
        "eval_freq": [128],
        "random_state": [1],
    }

    @staticmethod
    def get_next(stop_val):
        return stop_val + 1

    def set_objective(
        self, f_inner, f_outer, n_inner_samples, n_outer_samples, inner_var0, outer_var0
    ):
        def level(function, count):
            size = min(self.batch_size, count)

            def loss(outer, inner, _, noise):
                if noise is None:
                    return function(inner, outer, start=0, batch_size=count)
                return function(inner, outer, start=noise["block"][0] * size, batch_size=size)

            return loss, {"block": ("index", (1,), count // size)}

        upper, upper_noise = level(f_outer, n_outer_samples)
        lower, lower_noise = level(f_inner, n_inner_samples)
        self.problem = problems.from_jax(
            upper,
            lower,
            x=outer_var0,
            y=inner_var0,
            upper_noise=upper_noise,
            lower_noise=lower_noise,
        )
        self.algorithm = accbo.AccBO(
            lower_step_size=self.step_size,
            lower_momentum=0.5,
            averaging=0.5,
            momentum=self.momentum,
            upper_step_size=self.outer_step_size,
            neumann_terms=self.terms,
            neumann_scale=self.scale,
        )
        algorithm, problem = self.algorithm, self.problem

        def advance(state, samples):
            def one(state, sample):
                return algorithm.step(problem, state, sample), None

            return jax.lax.scan(one, state, samples)[0]

        self.advance = jax.jit(advance)

    def run(self, callback):
        x, y = self.problem.start_point()
        stream = accbo.Tape(self.random_state).open(x)
        start = stream.start(self.algorithm.draw_start(self.problem, 0, 1))
        self.state = self.algorithm.init(self.problem, x, y, start)
        while callback():
            block = stream.block(self.algorithm.draw(self.problem), self.eval_freq)
            self.state = self.advance(self.state, block)

    def get_result(self):
        problem, state = self.problem, self.state
        return {
            "inner_var": problem.y_form(state.y_average),
            "outer_var": problem.x_form(state.x),
        }
