//! Embeddings to evidence: protocols, verification curves and reports.
