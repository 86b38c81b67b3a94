//! Folders of faces to labelled batches: catalogues, sampling, augmentation and synthetic faces.
