# cmake -DFOLDER=… -DFILES=a;b -DOUTPUT=… -P embed.cmake: a source with recipe_files(), the files as raw strings.
set(entries "")
foreach(name IN LISTS FILES)
  file(READ ${FOLDER}/${name} text)
  string(APPEND entries "    {\"${name}\", R\"__recipe(${text})__recipe\"},\n")
endforeach()
file(WRITE ${OUTPUT}.new "#include \"images/recipe.h\"

namespace berth {

std::span<const RecipeFile> recipe_files() {
  static constexpr RecipeFile files[] = {
${entries}  };
  return files;
}

}  // namespace berth
")
file(RENAME ${OUTPUT}.new ${OUTPUT})
