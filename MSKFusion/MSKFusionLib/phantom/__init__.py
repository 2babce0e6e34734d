"""Generated patients: a lumbar spine in CT and MR whose truth is known in closed form."""

from .options import PatientOptions
from .patient import Patient, generate_patient
from .truth import PedicleTruth, VertebraTruth

__all__ = ["Patient", "PatientOptions", "PedicleTruth", "VertebraTruth", "generate_patient"]
