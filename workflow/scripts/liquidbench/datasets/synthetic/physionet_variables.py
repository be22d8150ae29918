"""The clinical variables of the 2019 challenge, and figures to simulate each by.

Shares, medians and deviations are about as in training set A (rounded figures of the whole set;
no patient's values). The septic changes are the simulation's own.
"""

from typing import NamedTuple

# Columns after the 34 measured ones, in the file's order.
DEMOGRAPHICS = ("Age", "Gender", "Unit1", "Unit2", "HospAdmTime", "ICULOS")
LABEL = "SepsisLabel"


class Variable(NamedTuple):
    """One vital sign or laboratory value.

    With `log`, the deviations and the septic change are of the natural logarithm.
    """

    name: str
    panel: str  # what is measured together; "" = on its own, as vital signs are
    rate: float  # share of the hours with a value
    patients: float  # share of the patients with any value
    median: float
    between: float  # standard deviation between patients
    within: float  # standard deviation within a patient
    persistence: float  # correlation of two neighbouring hours
    lowest: float
    highest: float
    decimals: int
    septic: float  # change at the full severity of sepsis, in the variable's unit
    log: bool = False
    group: str = ""  # variables that move together


# fmt: off
VARIABLES = (
    Variable("HR", "", 0.92, 1.0, 82, 14, 8.4, 0.7, 25, 220, 1, 17),
    Variable("O2Sat", "", 0.88, 1.0, 97.5, 1.6, 1.9, 0.4, 60, 100, 1, -1.5),
    Variable("Temp", "", 0.34, 0.99, 36.95, 0.5, 0.45, 0.88, 31, 41.5, 2, 0.7),
    Variable("SBP", "", 0.85, 0.99, 120, 16, 13, 0.46, 45, 260, 1, -15, group="pressure"),
    Variable("MAP", "", 0.9, 1.0, 79, 10.5, 9.7, 0.4, 25, 200, 2, -11, group="pressure"),
    Variable("DBP", "", 0.52, 0.64, 60, 9.5, 7.6, 0.43, 20, 150, 1, -8, group="pressure"),
    Variable("Resp", "", 0.9, 1.0, 17.6, 3.4, 3.6, 0.4, 4, 60, 1, 5),
    # Never recorded in set A; the figure is of set B.
    Variable("EtCO2", "", 0.08, 0.3, 33, 5, 4, 0.6, 10, 80, 1, -3),
    Variable("BaseExcess", "gas", 0.104, 0.63, 0, 3.5, 1.6, 0.72, -25, 25, 0, -3, group="acid"),
    Variable("HCO3", "blood", 0.079, 0.97, 24, 3.8, 1.5, 0.9, 5, 50, 0, -2, group="acid"),
    Variable("FiO2", "gas", 0.145, 0.6, 0.5, 0.13, 0.11, 0.35, 0.21, 1, 2, 0.1),
    Variable("pH", "gas", 0.114, 0.65, 7.38, 0.05, 0.04, 0.7, 6.8, 7.7, 2, -0.04, group="acid"),
    Variable("PaCO2", "gas", 0.089, 0.62, 40, 7, 4.5, 0.35, 12, 110, 0, -2),
    Variable("SaO2", "gas", 0.051, 0.4, 96, 3, 3, 0.1, 40, 100, 0, -1),
    Variable("AST", "liver", 0.0144, 0.29, 56, 1.2, 0.15, 0.9, 5, 9000, 0, 0.3, True, "liver"),
    Variable("BUN", "blood", 0.08, 0.98, 18, 0.65, 0.14, 0.95, 2, 200, 0, 0.15, True, "kidney"),
    Variable("Alkalinephos", "liver", 0.014, 0.28, 80, 0.6, 0.1, 0.95, 10, 2000, 0, 0.1, True,
             "liver"),
    Variable("Calcium", "blood", 0.049, 0.81, 8.3, 0.65, 0.35, 0.6, 4, 15, 1, -0.2),
    Variable("Chloride", "blood", 0.081, 0.97, 106, 5.1, 2.1, 0.9, 70, 140, 0, 0),
    Variable("Creatinine", "blood", 0.066, 0.98, 0.95, 0.6, 0.14, 0.9, 0.2, 20, 1, 0.2, True,
             "kidney"),
    Variable("Bilirubin_direct", "liver", 0.0012, 0.03, 1.4, 1.2, 0.2, 0.9, 0.1, 40, 1, 0.2, True,
             "liver"),
    Variable("Glucose", "blood", 0.123, 0.98, 125, 0.24, 0.2, 0.54, 20, 900, 0, 0.1, True),
    Variable("Lactate", "gas", 0.035, 0.38, 1.7, 0.45, 0.25, 0.85, 0.3, 25, 1, 0.6, True),
    Variable("Magnesium", "blood", 0.075, 0.93, 2, 0.3, 0.2, 0.85, 0.8, 6, 1, 0),
    Variable("Phosphate", "blood", 0.05, 0.82, 3.4, 0.3, 0.15, 0.8, 0.5, 14, 1, 0.05, True),
    Variable("Potassium", "blood", 0.108, 0.98, 4.1, 0.45, 0.35, 0.7, 2, 8.5, 1, 0.1),
    Variable("Bilirubin_total", "liver", 0.012, 0.28, 0.8, 0.95, 0.15, 0.9, 0.1, 45, 1, 0.3, True,
             "liver"),
    Variable("TroponinI", "blood", 0.0014, 0.03, 3.2, 1.3, 0.4, 0.8, 0.3, 45, 1, 0.1, True),
    Variable("Hct", "blood", 0.117, 0.98, 30.5, 4.6, 2, 0.76, 12, 60, 1, -0.8, group="cells"),
    Variable("Hgb", "blood", 0.088, 0.98, 10.5, 1.6, 0.7, 0.76, 4, 20, 1, -0.3, group="cells"),
    Variable("PTT", "blood", 0.048, 0.79, 34, 0.33, 0.2, 0.5, 15, 150, 1, 0.12, True),
    Variable("WBC", "blood", 0.074, 0.97, 11, 0.42, 0.15, 0.9, 0.1, 150, 1, 0.35, True),
    Variable("Fibrinogen", "blood", 0.0072, 0.13, 250, 0.45, 0.15, 0.9, 40, 1000, 0, 0.1, True),
    Variable("Platelets", "blood", 0.064, 0.97, 185, 0.48, 0.12, 0.9, 5, 1200, 0, -0.3, True),
)
# fmt: on

COLUMNS = (*(variable.name for variable in VARIABLES), *DEMOGRAPHICS, LABEL)
