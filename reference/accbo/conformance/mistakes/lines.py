"""What is right, of every part of every algorithm: the lines of SPEC §2 and §5."""

from __future__ import annotations

from collections.abc import Mapping

_NUMERICS = "float64 throughout where the arrays are float64, the constants too"
_START = "start: T0 steps on y at x_0, then iteration 0"
_NORMALISED = "x_{t+1} = x_t − η m_t/‖m_t‖, one norm over all of x"
_Z = "z_{t+1} = z_t − ν (∇²_yy G(x_t, y_t; ζ) z_t − ∇_y F(x_t, y_t; ξ'))"
_DRAWN = "h_t = ∇_x F − ∇²_xy G · (Q/l) Π_{j=1..q} (I − ∇²_yy G/l) · ∇_y F, q uniform on {0..Q−1}"
_SUM = "(1/l) Σ_{q=0..Q−1} Π_{j=1..q} (I − ∇²_yy G(ζ^{q,j})/l) · ∇_y F"


def _linear(y: str, momentum: str, x: str) -> dict[str, str]:
    """The lines of an algorithm that tracks z."""
    return {
        "y": y,
        "z": _Z,
        "h": f"∇_x F(x_t, y_t; ξ) − ∇²_xy G(x_t, y_t; ζ⁰) z_t, in {momentum}",
        "momentum": momentum,
        "x": x,
        "samples": "ξ, ξ', ζ⁰, ζ and π are independent",
        "start": _START,
        "numerics": _NUMERICS,
    }


_M = "m_t = β m_{t−1} + (1 − β) (∇_x F(x_t, y_t; ξ) − ∇²_xy G(x_t, y_t; ζ⁰) z_t)"
_BOREP_Y = (
    "t mod I = 0: N steps y ← y − α ∇_y G(x_t, y; π), each on its own sample; else y_{t+1} = y_t"
)
_X_VRBO = "x_{k+1} = x_k − a v"

LINES: dict[str, Mapping[str, str]] = {
    "AccBO": {
        "y": "z_t = y_t + γ (y_t − y_{t−1}); y_{t+1} = z_t − α ∇_y G(x_t, z_t; π_t)",
        "refresh": "Option II: if t mod I = 0, restart the pair at (y_t, y_t) and do N steps; "
        "else y_{t+1} = y_t",
        "y_average": "ŷ_{t+1} = (1 − τ) ŷ_t + τ y_{t+1}",
        "series": f"S ∇_y F = {_SUM}",
        "h": f"h_t = ∇_x F − ∇²_xy G · {_SUM}",
        "momentum": "m_t = h_t(x_t, ŷ_t) + β (m_{t−1} − h_t(x_{t−1}, ŷ_{t−1})), both on the same "
        "fresh sample",
        "x": f"{_NORMALISED}; a tiny m whose square underflows (1e-200) still moves x by η",
        "samples": "ξ, ζ⁰, ζ and π are independent",
        "start": "start: T0 SNAG steps from the pair (y_init, y_init) at x_0, then "
        "y_0 = y_{−1} = ŷ_0",
        "numerics": _NUMERICS,
        "constants": "every hyper-parameter as it was declared, 0 included",
    },
    "SLIP": _linear("y_{t+1} = y_t − α ∇_y G(x_t, y_t; π)", _M, _NORMALISED),
    "MASOBA": _linear(
        "y_{t+1} = y_t − α ∇_y G(x_t, y_t; π)",
        _M.replace("m_t", "h_{t+1}").replace("m_{t−1}", "h_t"),
        "x_{t+1} = x_t − η h_t, the old average",
    ),
    "BOREP": {**_linear(_BOREP_Y, _M, _NORMALISED), "refresh": _BOREP_Y},
    "SABA": {
        "tables": "estimate = new − stored_i + mean; then mean += (new − stored_i)/n, "
        "stored_i := new, all at the old (x_t, y_t, z_t)",
        "y": "y_{t+1} = y_t − α Ĝ_y",
        "z": "z_{t+1} = z_t − ν (Ĥz − F̂_y)",
        "h": "F̂_x − Ĵz",
        "x": "x_{t+1} = x_t − η (F̂_x − Ĵz)",
        "samples": "i and j are independent",
        "start": f"{_START}; one pass over both sums at x_0 fills the tables",
        "numerics": _NUMERICS,
    },
    "SUSTAIN": {
        "sizes": "α_t = a (w+t)^{−1/3}, β_t = b (w+t)^{−1/3}, η_t = c (w+t−1)^{−2/3}",
        "momentum": "u_t = ∇_y G(x_t,y_t;π_t) + (1 − η^g_t) (u_{t−1} − "
        "∇_y G(x_{t−1},y_{t−1};π_t)), and m_t with h_t: both points on the same sample, "
        "its random index included",
        "series": _DRAWN,
        "h": _DRAWN,
        "y": "y_{t+1} = y_t − β_t u_t",
        "x": "x_{t+1} = x_t − α_t m_t",
        "samples": "ξ, ζ⁰, ζ, q and π are independent",
        "start": _START,
        "numerics": _NUMERICS,
    },
    "TTSA": {
        "sizes": "α_t = a (w+t)^{−3/5}, β_t = b (w+t)^{−2/5}",
        "y": "y_{t+1} = y_t − β_t ∇_y G(x_t, y_t; π_t)",
        "series": _DRAWN,
        "h": f"x_{{t+1}} = x_t − α_t h_t(x_t, y_{{t+1}}), {_DRAWN}",
        "x": "x_{t+1} = x_t − α_t h_t(x_t, y_{t+1})",
        "samples": "ξ, ζ⁰, ζ, q and π are independent",
        "start": _START,
        "numerics": _NUMERICS,
    },
    "StocBiO": {
        "y": "D steps y ← y − α ∇_y G(x_k, y; π), a fresh batch each",
        "series": "z = (1/l) Σ_{q=0..Q−1} Π_{j≤q} (I − ∇²_yy G(ζ^j)/l) ∇_y F, every ζ^j a batch of "
        "its own",
        "h": "∇_x F(x_k, y_k; ξ) − ∇²_xy G(x_k, y_k; ζ⁰) z",
        "x": "x_{k+1} = x_k − η (∇_x F(x_k, y_k; ξ) − ∇²_xy G(x_k, y_k; ζ⁰) z)",
        "samples": "ξ, ζ⁰, every ζ^q and every π are batches of their own",
        "start": _START,
        "numerics": _NUMERICS,
    },
    "VRBO": {
        "refresh": "k mod q = 0: u, v = means of ∇_y G and h at (x_k, y_k) over a batch of S1",
        "estimate": "with p_{−1} = (x_k, y_k), p_0 = (x_{k+1}, y_k), for i = 0 … m on one batch: "
        "u += ∇_y G(p_i) − ∇_y G(p_{i−1}), v += h(p_i) − h(p_{i−1})",
        "y": "p_{i+1} = (x_{k+1}, y-part of p_i − b u); y_{k+1} = y-part of p_m",
        "series": f"S ∇_y F = {_SUM}",
        "h": f"h = ∇_x F − ∇²_xy G · {_SUM}",
        "x": _X_VRBO,
        "samples": "every batch is fresh, and its parts are independent",
        "start": _START,
        "numerics": _NUMERICS,
    },
}
