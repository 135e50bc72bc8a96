// Command readme writes the README files of the built-in modules.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// modulesDir is the folder of the modules, seen from the repository's root.
const modulesDir = "modules"

func main() {
	if err := run(modulesDir); err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

// run writes the README of every folder in dir that holds a module.
func run(dir string) error {
	names, err := list(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := render(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name, "README.md"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// list names the folders with a main.hcl, sorted.
func list(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "main.hcl"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no modules: run this in the repository's root", dir)
	}
	var names []string
	for _, file := range files {
		names = append(names, filepath.Base(filepath.Dir(file)))
	}
	return names, nil
}
