//go:build !(postgres && redis)

package endtoend

func storages() []storage { return []storage{embedded()} }
