"""The records of a results folder, typed to their leaves."""

from steelbench.records.base import Record, SparseRecord, read_record, row_name
from steelbench.records.run import (
    SCHEMA,
    EmbeddingScores,
    EngineCheckRecord,
    FeatureHealth,
    PseudoLabelRecord,
    RunKey,
    RunNotes,
    RunRecord,
    StageRecord,
    Verification,
    WeightsRecord,
)
from steelbench.records.summary import (
    OWN_SPLIT,
    ClassScore,
    Comparison,
    DatasetSummary,
    Notice,
    Row,
    RowDetail,
    SplitSummary,
    Summary,
)

__all__ = [
    "OWN_SPLIT",
    "SCHEMA",
    "ClassScore",
    "Comparison",
    "DatasetSummary",
    "EmbeddingScores",
    "EngineCheckRecord",
    "FeatureHealth",
    "Notice",
    "PseudoLabelRecord",
    "Record",
    "Row",
    "RowDetail",
    "RunKey",
    "RunNotes",
    "RunRecord",
    "SparseRecord",
    "SplitSummary",
    "StageRecord",
    "Summary",
    "Verification",
    "WeightsRecord",
    "read_record",
    "row_name",
]
