"""Audits of privacy claims: what a fit releases, how far one user moves it, what attacks gain."""

from ecomrec._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "EmpiricalMu": "bounds",
        "MembershipReport": "membership",
        "ReleaseCheck": "replay",
        "ReplayReport": "replay",
        "SensitivityReport": "sensitivity",
        "empirical_mu": "bounds",
        "membership_inference_report": "membership",
        "one_run_epsilon": "bounds",
        "privacy_losses": "losses",
        "record_replay": "replay",
        "sensitivity_report": "sensitivity",
    },
)
