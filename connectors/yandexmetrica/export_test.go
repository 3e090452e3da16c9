package yandexmetrica

// Update reports whether golden files are to be renewed.
func Update() bool { return *update }
